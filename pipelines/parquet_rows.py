"""Pages out of Parquet: the columns that are read, in batches, a bad value costing one row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import storage
from pipelines.names import shown
from schemas.errors import InputError
from schemas.page import Damage, Page
from stages.rows import (
    FIELDS,
    HTML_FIELDS,
    NESTED_FIELD,
    TEXT_FIELDS,
    no_text,
    one_line,
    page_of_row,
)

BATCH_ROWS = 64
"""Rows held at a time: texts of a megabyte each still fit."""
PIECE_BYTES = 32 * 1024 * 1024
"""Decoded bytes of the columns read that one task takes: its texts are in memory until its end.
A row group of several pieces is decoded from its start for each of them, which takes little time
beside what is done with the text."""
_BUFFER_BYTES = 1 << 20

_UNREADABLE = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises for what a file holds."""
_NO_PYTHON_VALUE = (pa.ArrowException, ValueError, OverflowError, LookupError)
"""What it raises for a value that Python has no type for: a year 20000, an unknown time zone."""


def row_ranges(path: str) -> list[tuple[int, int]]:
    """First and last row (exclusive) of every piece: a row group, or a part of a large one.

    Raises InputError for a broken file.
    """
    with storage.open_input(path) as handle:
        metadata = _open(handle, shown(path)).metadata
    cuts = [0]
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        pieces = max(1, -(-_decoded_bytes(group) // PIECE_BYTES))
        step = max(1, -(-group.num_rows // pieces))
        first, end = cuts[-1], cuts[-1] + group.num_rows
        cuts += [*range(first + step, end, step), end]
    return list(itertools.pairwise(cuts)) or [(0, 0)]


def _decoded_bytes(group: pq.RowGroupMetaData) -> int:
    chunks = (group.column(index) for index in range(group.num_columns))
    wanted = {*FIELDS, NESTED_FIELD}
    return sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if chunk.path_in_schema.partition(".")[0] in wanted
    )


def _open(handle: BinaryIO, name: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(handle, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
        names = file.schema_arrow.names
    except _UNREADABLE as error:
        _pass_on(error)
        raise InputError(f"{name} is not a Parquet file: {one_line(error)}") from error
    if len(set(names)) < len(names):
        raise InputError(f"{name} has two columns of the same name")
    return file


def _pass_on(error: Exception) -> None:
    """Raise the handle's own error; what pyarrow says of the bytes has no number."""
    if getattr(error, "errno", None) is not None:
        raise error


def read_rows(handle: BinaryIO, start: int, end: int, name: str) -> Iterator[Page | Damage]:
    """Pages of the rows [start, end); their offset is the row's number.

    Every row is a Page or a Damage, also where a row group cannot be read. Raises InputError when
    the file is no Parquet, and OSError of the handle.
    """
    file = _open(handle, name)
    columns = _columns(file.schema_arrow)
    first = 0
    for index in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(index).num_rows
        owned = range(max(start, first), min(end, first + rows))
        if owned:
            yield from _read_group(file, index, columns, first, owned, name)
        first += rows


def _columns(schema: pa.Schema) -> list[str]:
    """Of the columns that pages are made of, those that are there; no others are read, as they
    may be large, or of types that cannot be converted."""
    columns = [field for field in schema.names if field in FIELDS]
    if NESTED_FIELD in schema.names:
        kind = schema.field(NESTED_FIELD).type
        if pa.types.is_struct(kind):
            have = {kind.field(i).name for i in range(kind.num_fields)}
            columns += [f"{NESTED_FIELD}.{field}" for field in FIELDS if field in have]
        elif pa.types.is_map(kind):
            columns.append(NESTED_FIELD)
    return columns


def _has_text(columns: list[str]) -> bool:
    content = TEXT_FIELDS + HTML_FIELDS
    return any(c == NESTED_FIELD or c.rpartition(".")[2] in content for c in columns)


def _read_group(
    file: pq.ParquetFile, index: int, columns: list[str], first: int, owned: range, name: str
) -> Iterator[Page | Damage]:
    """The rows `owned` of a row group whose first row is `first`."""
    if not _has_text(columns):
        for number in owned:
            yield no_text(number, file.schema_arrow.names)
        return
    done = 0
    batches = file.iter_batches(BATCH_ROWS, row_groups=[index], columns=columns, use_threads=False)
    try:
        for batch in batches:
            rows = range(max(owned.start, first), min(owned.stop, first + batch.num_rows))
            if rows:
                part = batch.slice(rows.start - first, len(rows))
                for event in _pages(part, rows.start, name):
                    yield event
                    done += 1
            first += batch.num_rows
            if first >= owned.stop:
                return
    except _UNREADABLE as error:
        _pass_on(error)
        detail = one_line(error)
        for lost in owned[done:]:
            yield Damage(lost, 0, "corrupt_row_group", detail)


def _pages(batch: pa.RecordBatch, first: int, name: str) -> Iterator[Page | Damage]:
    columns = {field: _values(batch.column(field)) for field in batch.schema.names}
    for index in range(batch.num_rows):
        row = {field: values[index] for field, values in columns.items()}
        bad = next((field for field, value in row.items() if isinstance(value, _Bad)), None)
        if bad is None:
            yield page_of_row(row, name, first + index, "parquet")
        else:
            detail = f"column {bad}: {row[bad].why}"
            yield Damage(first + index, 0, "bad_value", detail)


class _Bad:
    """A value that could not be converted."""

    def __init__(self, why: str) -> None:
        self.why = why


def _values(column: pa.Array) -> list[Any]:
    """The column as Python values; one by one where they cannot all be converted."""
    try:
        return list(column.to_pylist())
    except _NO_PYTHON_VALUE:
        return [_value(cell) for cell in column]


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except _NO_PYTHON_VALUE as error:
        return _Bad(one_line(error))
