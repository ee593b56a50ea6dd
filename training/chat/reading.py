"""Records and conversations out of files."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.chat import Conversation
from schemas.errors import InputError, UsageError
from training.chat.formats import FORMATS, FieldError


def read_conversations(path: str | Path, format: str) -> Iterator[tuple[int, Conversation]]:
    """The conversations of a file with the number of each record, from 1 on.

    JSONL (blank lines are no records), the same in gzip (.gz), or one JSON list. Raises InputError
    in one line that names file, record and field, UsageError for a format that is none.
    """
    read = FORMATS.get(format)
    if read is None:
        raise UsageError(f"format: {format!r} is none of {', '.join(FORMATS)}")
    for number, row in read_rows(path):
        try:
            conversation = read(row)
        except FieldError as error:
            raise InputError(f"{path}: record {number}: {_one_line(error)}") from error
        yield number, conversation


def read_rows(path: str | Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a file, as `read_conversations` takes files. Raises InputError."""
    for number, row in read_values(Path(path)):
        if not isinstance(row, dict):
            raise InputError(f"{path}: record {number}: is not a JSON object")
        yield number, row


def read_values(path: Path) -> Iterator[tuple[int, Any]]:
    """What `read_rows` would find to be objects or not. Raises InputError."""
    packed = path.suffix == ".gz"
    suffix = path.with_suffix("").suffix if packed else path.suffix
    number = 0
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as handle:
            if suffix == ".json":
                content = handle.read()
                if begins_list(content):
                    yield from enumerate(_parse(content, str(path)), start=1)
                    return
                lines: Iterator[bytes] = iter(content.splitlines(keepends=True))
            else:
                lines = iter(handle)
            for line in lines:
                if line.strip():
                    number += 1
                    yield number, _parse(line, f"{path}: record {number}")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read after record {number}: {error}") from error


def begins_list(content: bytes) -> bool:
    """Whether JSON is a list, whatever stands before it that the reader passes over."""
    return content.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _parse(data: bytes, place: str) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: is not UTF-8: byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: is not JSON: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
