"""`metrics.jsonl`: one object a step, whole lines only, each step once whatever killed the run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import InputError, OutputError

NON_FINITE = "non_finite"
"""Key of the figures that were no finite numbers, with what they were: nan, inf or -inf. JSON has
no spelling for them, so the figure itself is null."""


class MetricsFile:
    """Appends lines to the file of a run."""

    def __init__(self, path: Path, after_step: int = -1) -> None:
        """Open for steps after `after_step`: lines of later steps, and half a line that a killed
        process left, are removed first (by a new file that takes the old one's place).

        Raises OutputError when the folder cannot be written.
        """
        self._path = path
        self._last = after_step
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                _keep(path, after_step)
            # Unbuffered: a line is one write of the operating system, so no reader sees half.
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Add one line.

        Raises ValueError for a step that is not after the last one, OutputError for a full disk.
        """
        if step <= self._last:
            raise ValueError(f"metrics of step {step} after those of step {self._last}")
        line = to_line(step, values)
        try:
            written = self._file.write(line)
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error}") from error
        if written != len(line):
            raise OutputError(f"{self._path}: a line was cut off: is the disk full?")
        self._last = step

    def close(self) -> None:
        """Close the file; it is on the disk afterwards."""
        os.fsync(self._file.fileno())
        self._file.close()


def to_line(step: int, values: Mapping[str, Any]) -> bytes:
    """The object of one step as a line of valid JSON."""
    odd = {k: str(v) for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    record = {"step": step, **values, **dict.fromkeys(odd)}
    if odd:
        record[NON_FINITE] = odd
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file in order; half a last line is left out.

    Raises InputError without the file, and for a line that is no object with a step.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            record = json.loads(line)
            int(record["step"])
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}: line {number} is not an object with a step") from error
        yield record


def _keep(path: Path, after_step: int) -> None:
    kept = [r for r in read_metrics(path) if r["step"] <= after_step]
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as handle:
        handle.writelines(json.dumps(record, allow_nan=False).encode() + b"\n" for record in kept)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)
