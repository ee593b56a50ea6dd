"""Records of any format, one by one, whatever is wrong with some of them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from schemas.chat import Conversation
from schemas.errors import InputError, UsageError
from training.chat.formats import FORMATS, FieldError
from training.chat.reading import read_rows


class Record(NamedTuple):
    """A record of a file, as it was and as it was understood."""

    file: str
    number: int
    """From 1; blank lines do not count."""
    row: Any
    conversation: Conversation | None
    """None: `problem` says what is wrong."""
    problem: str = ""

    @property
    def prompt(self) -> str:
        """The first message of a user."""
        return self._first("user")

    @property
    def answers(self) -> str:
        """What the assistant says."""
        return self._all("assistant")

    @property
    def text(self) -> str:
        """All messages."""
        return self._all("system", "user", "assistant", "tool")

    def _first(self, role: str) -> str:
        messages = self.conversation.messages if self.conversation else ()
        return next((m.content for m in messages if m.role == role), "")

    def _all(self, *roles: str) -> str:
        messages = self.conversation.messages if self.conversation else ()
        return "\n".join(m.content for m in messages if m.role in roles and m.content)


def read_records(paths: Sequence[str | Path], format: str) -> Iterator[Record]:
    """Every record of the files: JSONL, the same in gzip, or one JSON list (.json).

    Raises UsageError for a format that is none, InputError for a file that cannot be read; what is
    wrong with a record is said in it.
    """
    if format not in FORMATS:
        raise UsageError(f"format: {format!r} is none of {', '.join(FORMATS)}")
    for path in map(Path, paths):
        rows = _listed(path) if path.name.endswith((".json", ".json.gz")) else _lines(path)
        for number, row, problem in rows:
            if problem:
                yield Record(str(path), number, row, None, problem)
            else:
                yield _understood(str(path), number, row, format)


def _understood(file: str, number: int, row: Any, format: str) -> Record:
    if not isinstance(row, Mapping):
        return Record(file, number, row, None, "is not a JSON object")
    try:
        return Record(file, number, row, FORMATS[format](row))
    except FieldError as error:
        return Record(file, number, row, None, " ".join(str(error).split()))


def _listed(path: Path) -> Iterator[tuple[int, Any, str]]:
    yield from ((number, row, "") for number, row in read_rows(path))


def _lines(path: Path) -> Iterator[tuple[int, Any, str]]:
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as handle:
            for line in handle:
                if not line.strip():
                    continue
                number += 1
                try:
                    yield number, json.loads(line.decode("utf-8-sig")), ""
                except (ValueError, RecursionError) as error:
                    shown = line.decode("utf-8", "replace").rstrip("\n")
                    yield number, shown, f"is not JSON: {' '.join(str(error).split())}"
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read after record {number}: {error}") from error
