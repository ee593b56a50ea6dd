"""Reading the Parquet files of a run in batches, only the columns asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import storage
from pipelines.workspace import Workspace
from schemas.errors import InputError

BATCH_ROWS = 8192
TEXT_BATCH_ROWS = 256
"""Rows read at a time where whole texts are among the columns."""


def files(workspace: Workspace, folder: str) -> list[str]:
    """The Parquet files of OUT/folder, sorted."""
    return storage.list_files(workspace.path(folder), ".parquet")


def batches(
    path: str, columns: list[str], batch_rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """The rows of a file in order. Raises InputError when it cannot be read."""
    with storage.open_input(path) as handle:
        try:
            file = pq.ParquetFile(pa.PythonFile(handle, mode="r"))
            yield from file.iter_batches(batch_size=batch_rows, columns=columns)
        except (pa.ArrowException, OSError) as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"{path} cannot be read: {line}") from error


def rows_at(path: str, rows: Iterable[int], columns: list[str]) -> dict[int, dict[str, object]]:
    """Row number -> row, of a few rows of a file; no more than a batch is held at a time."""
    wanted = sorted(set(rows))
    found: dict[int, dict[str, object]] = {}
    start = 0
    for batch in batches(path, columns, TEXT_BATCH_ROWS):
        inside = [row for row in wanted if start <= row < start + batch.num_rows]
        for row in inside:
            found[row] = batch.slice(row - start, 1).to_pylist()[0]
        start += batch.num_rows
        if wanted and start > wanted[-1]:
            break
    return found


def value_counts(column: pa.Array) -> Counter[str]:
    """How often each string occurs; null counts as the empty string."""
    counts: Counter[str] = Counter()
    for entry in pc.value_counts(column).to_pylist():
        counts[entry["values"] or ""] += entry["counts"]
    return counts


def hosts_of(urls: pa.Array) -> pa.Array:
    """The host part of URLs as written, lower case; null where there is none."""
    found = pc.extract_regex(urls, r"^[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?(?P<host>[^/?#:@]+)")
    return pc.utf8_lower(pc.struct_field(found, "host"))
