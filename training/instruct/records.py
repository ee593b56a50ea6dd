"""Records of any format, one by one, whatever is wrong with some of them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from schemas.chat import Conversation, Message, ToolCall
from schemas.errors import InputError, UsageError
from stages.dedup import content_hash
from training.chat.formats import FORMATS, FieldError
from training.chat.reading import begins_list, read_values

_HEAD_BYTES = 4096


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
        """What the assistant says, and which tools it calls."""
        return self._all("assistant")

    @property
    def text(self) -> str:
        """All messages with their calls of tools. The tools themselves are left out: many records
        share them, and they would drown what each says."""
        return self._all("system", "user", "assistant", "tool")

    @property
    def identity(self) -> str:
        """32 hex digits, the same for records that say the same in the same roles, and have the
        same tools and calls. Ids do not count; texts are compared as content_hash does."""
        messages = self.conversation.messages if self.conversation else ()
        told = [[m.role, content_hash(m.content), *map(_call, m.tool_calls)] for m in messages]
        tools = self.conversation.tools if self.conversation else ()
        return content_hash(json.dumps([told, tools], sort_keys=True))

    def _first(self, role: str) -> str:
        messages = self.conversation.messages if self.conversation else ()
        return next((m.content for m in messages if m.role == role), "")

    def _all(self, *roles: str) -> str:
        messages = self.conversation.messages if self.conversation else ()
        parts = (part for m in messages if m.role in roles for part in _said(m))
        return "\n".join(part for part in parts if part)


def _said(message: Message) -> Iterator[str]:
    yield message.content
    yield from map(_call, message.tool_calls)


def _call(call: ToolCall) -> str:
    return f"{call.name} {json.dumps(call.arguments, sort_keys=True, ensure_ascii=False)}"


def read_records(paths: Sequence[str | Path], format: str) -> Iterator[Record]:
    """Every record of the files: JSONL, the same in gzip, or one JSON list (.json).

    Raises UsageError for a format that is none, InputError for a file that cannot be read; what is
    wrong with a record is said in it.
    """
    if format not in FORMATS:
        raise UsageError(f"format: {format!r} is none of {', '.join(FORMATS)}")
    for path in map(Path, paths):
        rows = _listed(path) if _is_list(path) else _lines(path)
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


def _is_list(path: Path) -> bool:
    """Whether a .json file holds a list, and not lines."""
    if not path.name.endswith((".json", ".json.gz")):
        return False
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as handle:
            return begins_list(handle.read(_HEAD_BYTES))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _listed(path: Path) -> Iterator[tuple[int, Any, str]]:
    yield from ((number, row, "") for number, row in read_values(path))


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
