"""Benchmark files, JSON lines or a list: some strings of their records are what is looked for."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas.errors import InputError
from schemas.recipe import Benchmark

_GZIP = b"\x1f\x8b"
_KEYS_NAMED = 12
_BEFORE_A_LIST = b"\xef\xbb\xbf \t\r\n"
"""A byte order mark, and blanks."""


class BenchmarkText(NamedTuple):
    """One string of a record."""

    record: int
    """From 1."""
    text: str


class BenchmarkTexts(NamedTuple):
    """A benchmark as it was read."""

    name: str
    sha256: str
    """Of the file."""
    texts: list[BenchmarkText]


def read_benchmark(benchmark: Benchmark, content: bytes) -> BenchmarkTexts:
    """The strings of every record of a file's content, plain or gzip, in order.

    Raises InputError, in one line with the record's number, for what is no JSON object, for a
    named field that no record has, and for a file without text.
    """
    texts: list[BenchmarkText] = []
    seen: dict[str, None] = {}
    for number, record in _records(benchmark.file, content):
        seen.update(dict.fromkeys(record))
        wanted = record if benchmark.fields is None else _chosen(record, benchmark.fields)
        try:
            texts += [BenchmarkText(number, text) for text in _strings(wanted)]
        except RecursionError:
            raise InputError(f"{benchmark.file}: record {number}: is nested too deeply") from None
    for field in benchmark.fields or ():
        if field not in seen:
            raise InputError(
                f"{benchmark.file}: no record has a field {field!r}; "
                f"there are: {', '.join([*seen][:_KEYS_NAMED]) or 'none'}"
            )
    if not texts:
        raise InputError(f"{benchmark.file}: there is no text to compare with in this benchmark")
    return BenchmarkTexts(benchmark.name, hashlib.sha256(content).hexdigest(), texts)


def _records(file: str, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    unpacked = _unpacked(file, content)
    rows = _listed(file, unpacked) if unpacked.lstrip(_BEFORE_A_LIST)[:1] == b"[" else None
    for number, record in enumerate(_lines(file, unpacked) if rows is None else rows, start=1):
        if not isinstance(record, dict):
            raise InputError(
                f"{file}: record {number}: not an object; "
                "a benchmark has one JSON object a line, or a list of them"
            )
        yield number, record


def _listed(file: str, content: bytes) -> list[Any]:
    try:
        rows: list[Any] = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: begins as a JSON list and is none: {error}") from None
    return rows


def _lines(file: str, content: bytes) -> Iterator[Any]:
    lines = (line for line in content.splitlines() if line.strip())
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file}: record {number}: not JSON: {error}") from None


def _unpacked(file: str, content: bytes) -> bytes:
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: damaged gzip: {error}") from error


def _chosen(record: dict[str, Any], fields: list[str]) -> list[Any]:
    return [record[field] for field in fields if field in record]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
