"""run.json on the disk: always whole, and closed with how the run ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.errors import OutputError
from schemas.training_run import State, TrainingRunV1

RUN_NAME = "run.json"


class RunFile:
    """The record of a running run; the first rank alone has one."""

    def __init__(
        self,
        folder: Path,
        record: TrainingRunV1,
        *,
        resumed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write `record` as running. With `resumed` it goes on from the record in the folder, if
        there is one: first start, count of starts and seconds are taken over.

        Raises OutputError when the folder cannot be written, InputError for a broken record.
        """
        self._path = folder / RUN_NAME
        self._clock = clock
        self._begin = clock()
        self._seconds_before = 0.0
        self._record = record
        if resumed and self._path.exists():
            before = TrainingRunV1.from_bytes(self._path.read_bytes(), self._path)
            self._seconds_before = before.seconds
            record.started, record.starts = before.started, before.starts + 1
            record.seconds = before.seconds
        self._write()

    @property
    def record(self) -> TrainingRunV1:
        """As it was last written."""
        return self._record

    def update(self, step: int, tokens: int, final: Mapping[str, Any]) -> None:
        """Note how far the run is, for one that is killed: with each checkpoint, say."""
        self._record.step, self._record.tokens = step, tokens
        self._record.final = dict(final)
        self._write()

    def end(self, state: State, message: str | None = None) -> None:
        """Close the record; `message` in one line."""
        self._record.state = state
        self._record.message = None if message is None else " ".join(message.split())
        self._write()

    def _write(self) -> None:
        self._record.seconds = self._seconds_before + self._clock() - self._begin
        temporary = self._path.with_name(self._path.name + ".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "w", encoding="utf-8") as handle:
                handle.write(self._record.to_json())
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(temporary, self._path)
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error}") from error


def now() -> str:
    """This moment in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
