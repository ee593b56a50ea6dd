"""Documents out of JSONL files, and an account of the lines that are none."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from schemas.errors import InputError


class Place(NamedTuple):
    """Where a line stands."""

    file: str
    line: int
    """Counted from 1."""
    offset: int
    """Byte at which it begins, in the unpacked file."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Record(NamedTuple):
    """A document of a line."""

    id: str
    text: str
    url: str
    language: str
    source: str
    place: Place


class JsonlReader:
    """Reads files and remembers what was left out, by reason."""

    def __init__(self) -> None:
        self.lines = 0
        """Lines read that are not blank."""
        self.bad: dict[str, dict[str, Any]] = {}
        """By reason: `lines` that were left out, and the `first` as FILE:LINE."""

    def read(self, path: Path) -> Iterator[Record]:
        """Documents of a file, gzip by its name. Raises InputError when it cannot be read."""
        offset = 0
        try:
            with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as handle:
                for number, line in enumerate(handle, start=1):
                    if line.strip():
                        self.lines += 1
                        record = self._record(line, Place(str(path), number, offset))
                        if record is not None:
                            yield record
                    offset += len(line)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"data.text: cannot read {path}: {error}") from error

    def leave_out(self, place: Place, reason: str) -> None:
        """Count a line as bad."""
        found = self.bad.setdefault(reason, {"lines": 0, "first": str(place)})
        found["lines"] += 1

    def _record(self, line: bytes, place: Place) -> Record | None:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            self.leave_out(place, "not JSON")
            return None
        if not isinstance(values, dict):
            self.leave_out(place, "no JSON object")
            return None
        text = values.get("text")
        if not isinstance(text, str) or not text:
            self.leave_out(place, "no text")
            return None
        try:
            digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        except UnicodeEncodeError:
            self.leave_out(place, "text with lone surrogates")
            return None
        return Record(
            _string(values, "id") or digest,
            text,
            _string(values, "url"),
            _string(values, "language"),
            _string(values, "source") or Path(place.file).name,
            place,
        )


def _string(values: dict[str, Any], name: str) -> str:
    """A field that may be missing; of numbers (ids) their digits."""
    value = values.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode()
