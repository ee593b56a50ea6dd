"""Benchmark files: JSON lines, of whose records some strings are what is looked for."""

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
        texts += (BenchmarkText(number, text) for text in _strings(wanted))
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
    number = 0
    for line in _unpacked(file, content).splitlines():
        if not line.strip():
            continue
        number += 1
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{file}: record {number}: not JSON: {error}") from None
        if not isinstance(record, dict):
            raise InputError(
                f"{file}: record {number}: not an object; a benchmark has one JSON object a line"
            )
        yield number, record


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
