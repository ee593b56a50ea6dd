"""Inputs by their kind: cut into tasks, and read back as pages."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple, cast

import pyarrow.parquet as pq
import xxhash

from pipelines import storage
from pipelines.storage import InputFile
from schemas.errors import InputError
from schemas.page import Damage, Page, Skipped
from stages.rows import page_of_row, read_json_lines
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


class Task(NamedTuple):
    """One piece of one input: byte ranges of WARC and JSONL, row ranges of Parquet."""

    name: str
    kind: Kind
    path: str
    start: int
    end: int
    size: int


def kind_of(path: str) -> Kind:
    """By name; whatever is not JSONL or Parquet is read as WARC (or ARC, or WET)."""
    name = path.lower().split("?", 1)[0]
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
        ranges = [(0, 2**62)]
    else:
        ranges = _row_ranges(file.path)
    stem = xxhash.xxh64_hexdigest(file.path.encode("utf-8", "surrogateescape"))
    return [
        Task(f"{stem}-{start:012d}", kind, file.path, start, end, file.size)
        for start, end in ranges
    ]


def _row_ranges(path: str) -> list[tuple[int, int]]:
    try:
        with storage.open_input(path) as handle:
            metadata = pq.ParquetFile(handle).metadata
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a Parquet file: {' '.join(str(error).split())}") from error
    cuts = [0]
    for index in range(metadata.num_row_groups):
        cuts.append(cuts[-1] + metadata.row_group(index).num_rows)
    return list(itertools.pairwise(cuts)) or [(0, 0)]


def read_task(task: Task) -> Iterator[Page | Skipped | Damage]:
    """Everything that lies in a task's range, in file order. Raises InputError only when the
    file cannot be opened."""
    with storage.open_input(task.path) as handle:
        if task.kind == "warc":
            yield from read_segment(handle, Segment(task.path, task.start, task.end, task.size))
        elif task.kind == "parquet":
            yield from _read_parquet(handle, task)
        elif task.kind == "jsonl":
            yield from read_json_lines(handle, task.start, task.end, _base_name(task.path))
        else:
            yield from _read_gzip_lines(handle, task)


def _read_gzip_lines(handle: BinaryIO, task: Task) -> Iterator[Page | Damage]:
    with gzip.open(handle, "rb") as lines:
        position = 0
        try:
            for page in read_json_lines(
                cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, lines))),
                task.start,
                task.end,
                _base_name(task.path),
            ):
                position = page.warc_offset if isinstance(page, Page) else page.offset
                yield page
        except (EOFError, OSError, ValueError) as error:
            yield Damage(position, 0, "corrupt_gzip", " ".join(str(error).split())[:200])


def _read_parquet(handle: BinaryIO, task: Task) -> Iterator[Page | Damage]:
    file = pq.ParquetFile(handle)
    first = 0
    for index in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(index).num_rows
        if task.start <= first < task.end:
            yield from _read_row_group(file, index, first, _base_name(task.path))
        first += rows


def _read_row_group(
    file: pq.ParquetFile, index: int, first: int, name: str
) -> Iterator[Page | Damage]:
    try:
        rows = file.read_row_group(index).to_pylist()
    except (OSError, ValueError) as error:
        yield Damage(first, 0, "corrupt_row_group", " ".join(str(error).split())[:200])
        return
    for number, row in enumerate(rows):
        yield page_of_row(row, name, first + number, "parquet")


def _base_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def first_pages(tasks: list[Task], limit: int) -> Iterator[Task]:
    """The tasks, the last one cut short, that hold the first `limit` pages."""
    left = limit
    for task in tasks:
        if left <= 0:
            return
        end = task.end
        for event in read_task(task):
            if isinstance(event, Page):
                left -= 1
                if left <= 0:
                    end = event.warc_offset + 1
                    break
        yield task._replace(end=min(end, task.end))
