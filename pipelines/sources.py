"""Inputs by their kind: cut into tasks, and read back as pages."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal, NamedTuple, cast

import xxhash

from pipelines import storage
from pipelines.names import base_name, identity_of, shown
from pipelines.parquet_rows import read_rows, row_ranges
from pipelines.storage import InputFile
from schemas.errors import UsageError
from schemas.page import Damage, Page, Skipped
from stages.rows import read_json_lines, read_packed_json_lines
from stages.warc import Segment, plan_segments, read_segment

Kind = Literal["warc", "jsonl", "jsonl.gz", "parquet"]
_SUFFIXES: tuple[tuple[str, Kind], ...] = (
    (".jsonl", "jsonl"),
    (".json", "jsonl"),
    (".ndjson", "jsonl"),
    (".jsonl.gz", "jsonl.gz"),
    (".json.gz", "jsonl.gz"),
    (".ndjson.gz", "jsonl.gz"),
    (".parquet", "parquet"),
)
_UNPACK = "unpack it and name the files in it"
_RECOMPRESS = "decompress it, or recompress it with gzip, and name that file"
_UNREADABLE = {
    **dict.fromkeys((".zst", ".zstd", ".bz2", ".xz", ".lzma", ".lz4", ".br"), _RECOMPRESS),
    **dict.fromkeys((".7z", ".zip", ".rar", ".tar", ".tgz", ".tar.gz", ".wacz"), _UNPACK),
}
"""Packings that are known and not read, and what to do about them."""


_UNPACKED_SEGMENTS = 4
"""Text of a `.jsonl.gz` in one task, in segments: each task unpacks all that comes before it, so
that there should not be many, and holds what it keeps, so that it should not be large."""
_LIKELY_RATIO = 3


class Task(NamedTuple):
    """One piece of one input: byte ranges of WARC and JSONL, row ranges of Parquet."""

    name: str
    kind: Kind
    path: str
    start: int
    end: int
    size: int
    label: str
    """Of the file, in documents and errors."""
    max_pages: int | None = None
    """Read no further than this many pages."""


def kind_of(path: str) -> Kind:
    """By name; whatever is not JSONL or Parquet is read as WARC (or ARC, or WET).

    Raises UsageError for a packing that is not read.
    """
    name = base_name(path).lower()
    for suffix, advice in _UNREADABLE.items():
        if name.endswith(suffix):
            raise UsageError(f"{shown(path)}: {suffix} is not read; {advice}")
    return next((kind for suffix, kind in _SUFFIXES if name.endswith(suffix)), "warc")


def tasks_of(file: InputFile, segment_bytes: int) -> list[Task]:
    """A file cut into pieces of about `segment_bytes`. Raises InputError for a broken Parquet."""
    kind = kind_of(file.path)
    if kind == "warc":
        segments = plan_segments(file.path, file.size, segment_bytes)
        ranges = [(s.start, s.end) for s in segments] or [(0, 0)]
    elif kind == "jsonl":
        cuts = [*range(0, max(file.size, 1), segment_bytes), file.size]
        ranges = list(itertools.pairwise(cuts))
    elif kind == "jsonl.gz":
        text_bytes = unpacked_bytes(file)
        cuts = [*range(0, max(text_bytes, 1), _UNPACKED_SEGMENTS * segment_bytes), 2**62]
        ranges = list(itertools.pairwise(cuts))
    else:
        ranges = row_ranges(file.path)
    identity = file.identity or identity_of(file.path)
    stem = xxhash.xxh64_hexdigest(identity.encode("utf-8", "surrogateescape"))
    label = file.label or base_name(file.path)
    return [
        Task(f"{stem}-{start:012d}", kind, file.path, start, end, file.size, label)
        for start, end in ranges
    ]


def unpacked_bytes(file: InputFile) -> int:
    """About how much text a gzip file holds.

    The last four bytes of a member say its size, modulo 2**32 (RFC 1952, 2.3.1). They are believed
    unless they say too little for text: then there are several members, or more than 4 GB.

    Raises InputError when the file cannot be read.
    """
    if file.size < 18:
        return 0
    with storage.open_input(file.path) as handle:
        handle.seek(file.size - 4)
        said = int.from_bytes(handle.read(4), "little")
    plausible = file.size * _LIKELY_RATIO // 2 <= said <= file.size * 20
    return said if plausible else file.size * _LIKELY_RATIO


def read_task(task: Task) -> Iterator[Page | Skipped | Damage]:
    """Everything that lies in a task's range, in file order, up to `max_pages` pages.

    Raises InputError only when the file cannot be opened.
    """
    left = task.max_pages
    if left == 0:
        return
    with storage.open_input(task.path) as handle:
        for event in _READERS[task.kind](handle, task):
            yield event
            if left is not None and isinstance(event, Page):
                left -= 1
                if left == 0:
                    return


def _read_warc(handle: BinaryIO, task: Task) -> Iterator[Page | Skipped | Damage]:
    segment = Segment(task.label, task.start, task.end, task.size)
    if "/" not in task.label:
        yield from read_segment(handle, segment)
        return
    for event in read_segment(handle, segment):
        yield event._replace(warc_file=task.label) if isinstance(event, Page) else event


def _read_lines(handle: BinaryIO, task: Task) -> Iterator[Page | Damage]:
    return read_json_lines(handle, task.start, task.end, task.label)


def _read_gzip_lines(handle: BinaryIO, task: Task) -> Iterator[Page | Damage]:
    with gzip.open(handle, "rb") as lines:
        yield from read_packed_json_lines(cast(BinaryIO, lines), task.start, task.end, task.label)


def _read_parquet(handle: BinaryIO, task: Task) -> Iterator[Page | Damage]:
    return read_rows(handle, task.start, task.end, task.label)


_READERS: dict[Kind, Callable[[BinaryIO, Task], Iterator[Page | Skipped | Damage]]] = {
    "warc": _read_warc,
    "jsonl": _read_lines,
    "jsonl.gz": _read_gzip_lines,
    "parquet": _read_parquet,
}


def first_pages(tasks: list[Task], limit: int) -> Iterator[Task]:
    """The tasks, the last one cut short, that hold the first `limit` pages. Reads them once."""
    left = limit
    for task in tasks:
        if left <= 0:
            return
        held, end = 0, task.start
        for event in read_task(task._replace(max_pages=left)):
            if isinstance(event, Page):
                held, end = held + 1, event.warc_offset + 1
        left -= held
        yield task._replace(end=min(end, task.end), max_pages=held) if left <= 0 else task
