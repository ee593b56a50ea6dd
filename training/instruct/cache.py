"""Answers on disk: a request that was answered once is not asked again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from schemas.errors import OutputError
from training.instruct.requests import Answer


class AnswerCache:
    """JSON lines, {"key", ...Answer}, each appended in one write and flushed to the disk.

    A last line that a kill cut short is dropped, and its request is asked again.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there. Raises OutputError when it cannot be read or written."""
        self._path = path
        self._lock = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._answers, whole = _read(path)
            self._handle = open(path, "ab")  # noqa: SIM115 (closed by close)
            if self._handle.tell() != whole:
                self._handle.truncate(whole)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}") from error

    def get(self, key: str) -> Answer | None:
        """The answer to a request, if there was one."""
        return self._answers.get(key)

    def answers(self) -> Iterator[Answer]:
        """All that are there."""
        return iter(self._answers.values())

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer; it is on the disk when this returns. Raises OutputError."""
        line = json.dumps({"key": key, **answer._asdict()}).encode() + b"\n"
        with self._lock:
            try:
                self._handle.write(line)
                self._handle.flush()
                os.fsync(self._handle.fileno())
            except OSError as error:
                raise OutputError(f"{self._path}: {error.strerror or error}") from error
            self._answers[key] = answer

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def _read(path: Path) -> tuple[dict[str, Answer], int]:
    """Answers by key, and the length of the file up to the last whole line."""
    answers: dict[str, Answer] = {}
    whole = 0
    if not path.exists():
        return answers, whole
    with open(path, "rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                fields = json.loads(line)
                key = fields.pop("key")
                answers[key] = Answer(**fields)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # a damaged line: its request is asked again
    return answers, whole
