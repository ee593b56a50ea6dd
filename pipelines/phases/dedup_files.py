"""The files of deduplication: keys in; counts, pairs and clusters out."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipelines import storage
from pipelines.phases.components import (
    EDGE,
    Edge,
    PackEdges,
    connect,
    unpack_edges,
)
from pipelines.phases.lists import ReadList
from pipelines.phases.members import ClusterRow, Key
from schemas.errors import InputError
from schemas.tables import CLUSTER_V1, KEY_V1

_ROWS_PER_BATCH = 8192
_READERS = 16
"""Files read at a time: in a store, waiting is most of reading."""
FILES = "files"
"""Name under which files are counted."""
_EDGE_SCHEMA = pa.schema([("edges", pa.binary())])
_NUMBERED = beam.typehints.KV[int, beam.typehints.Any]


def count_rows(path: str) -> int:
    """Documents of a key file, from its footer. Raises InputError when it is no Parquet file."""
    try:
        with storage.open_input(path) as handle:
            return int(pq.ParquetFile(handle).metadata.num_rows)
    except pa.ArrowException as error:
        raise InputError(f"{path} is not a Parquet file of keys: {error}") from error


def read_keys(path: str) -> Iterator[tuple[Any, ...]]:
    """The documents of one file, a batch at a time, as plain tuples in the order of Key."""
    columns = list(Key._fields)
    with storage.open_input(path) as handle:
        file = pq.ParquetFile(handle)
        missing = [name for name in KEY_V1.names if name not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{path} has no column {missing[0]}: not a file of keys")
        for batch in file.iter_batches(_ROWS_PER_BATCH, columns=columns):
            yield from zip(*(batch.column(c).to_pylist() for c in columns), strict=True)


Declare = Callable[[dict[str, int]], None]
"""Writes down, on a worker, that a job is done: gets the sums of what was counted."""


class WriteMarker(beam.PTransform):
    """(name, number) -> one call of `declare` with the sums, after all else in the graph.

    Every transform that writes files counts them into the input, so that the sums exist only
    when all files do.
    """

    def __init__(self, declare: Declare) -> None:
        super().__init__()
        self._declare = declare

    def expand(self, counted: beam.PCollection) -> beam.PCollection:
        """A lifted combiner, then one key. Runner metrics are not used: some lose them."""
        start = counted.pipeline | "Zero" >> beam.Create([("", 0)], reshuffle=False)
        return (
            (counted, start)
            | "WithZero" >> beam.Flatten()
            | "Typed" >> beam.Map(_pair).with_output_types(beam.typehints.KV[str, int])
            | "Sum" >> beam.CombinePerKey(sum)
            | "OneKey" >> beam.WithKeys(0)
            | "Gather" >> beam.GroupByKey()
            | "Declare" >> beam.Map(_declare, self._declare)
        )


def _pair(counted: tuple[str, int]) -> tuple[str, int]:
    return counted


def _declare(gathered: tuple[int, Iterable[tuple[str, int]]], declare: Declare) -> None:
    declare({name: int(number) for name, number in sorted(gathered[1]) if name})


class WriteClusters(beam.PTransform):
    """Rows -> `count` files by hashed cluster id, every one of them written, each sorted.

    Gives (FILES, 1) for each file.
    """

    def __init__(self, folder: str, count: int) -> None:
        super().__init__()
        self._folder = folder
        self._count = count

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Group by file number; an empty marker makes files without rows appear."""
        numbers = [(number, ()) for number in range(self._count)]
        return (
            (
                rows | "ByFile" >> beam.Map(_by_file, self._count),
                rows.pipeline | "EveryFile" >> beam.Create(numbers, reshuffle=False),
            )
            | "WithEmpty" >> beam.Flatten()
            | "Typed" >> beam.Map(_numbered).with_output_types(_NUMBERED)
            | "File" >> beam.GroupByKey()
            | "WriteFile" >> beam.Map(_write_clusters, self._folder)
        )


def _numbered(pair: tuple[int, Any]) -> tuple[int, Any]:
    return pair


def _by_file(plain: tuple[Any, ...], count: int) -> tuple[int, tuple[Any, ...]]:
    cluster = ClusterRow(*plain).cluster_id.encode()
    return xxhash.xxh3_64_intdigest(cluster) % count, plain


def _row_order(row: ClusterRow) -> tuple[Any, ...]:
    return row.cluster_id, not row.kept, row.id, row.segment, row.row


def _write_clusters(group: tuple[int, Iterable[tuple[Any, ...]]], folder: str) -> tuple[str, int]:
    number, rows = group[0], [ClusterRow(*plain) for plain in group[1] if plain]
    rows.sort(key=_row_order)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(ClusterRow._fields)
    named = dict(zip(ClusterRow._fields, columns, strict=True))
    table = pa.table([named[name] for name in CLUSTER_V1.names], schema=CLUSTER_V1)
    storage.write_table(storage.join(folder, f"clusters-{number:05d}.parquet"), table)
    return FILES, 1


class WriteEdges(beam.PTransform):
    """Pairs -> files of packed blocks, and (FILES, 1) for each. Their names are random: what a
    repeated bundle writes twice is the same true pairs twice, which no component notices."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, edges: beam.PCollection) -> beam.PCollection:
        """Pack within the bundle, then write each block."""
        return (
            edges
            | "Pack" >> beam.ParDo(PackEdges()).with_output_types(bytes)
            | "WriteBlock" >> beam.Map(_write_block, self._folder)
        )


def _write_block(block: bytes, folder: str) -> tuple[str, int]:
    table = pa.table({"edges": [block]}, schema=_EDGE_SCHEMA)
    storage.write_table(storage.join(folder, f"{uuid.uuid4().hex}.parquet"), table)
    return FILES, 1


def read_edges(pipeline: beam.Pipeline, files: list[str]) -> beam.PCollection:
    """The pairs of the files in a list (pipelines.phases.lists), in no order."""
    return (
        pipeline
        | "EdgeFiles" >> ReadList(files)
        | "ReadEdges" >> beam.FlatMap(_read_edge_file).with_output_types(EDGE)
    )


def _read_edge_file(path: str) -> Iterator[Edge]:
    for block in _blocks(path):
        yield from unpack_edges(block)


def _blocks(path: str) -> list[bytes]:
    blocks: list[bytes] = storage.read_table(path).column("edges").to_pylist()
    return blocks


def connect_edges(pipeline: beam.Pipeline, folder: str) -> beam.PCollection:
    """Stars of the pairs in a folder, connected by one worker that reads them where they lie."""
    return (
        pipeline
        | "EdgeFolder" >> beam.Create([folder], reshuffle=False)
        | "Connect" >> beam.FlatMap(_connect_folder).with_output_types(EDGE)
    )


def _connect_folder(folder: str) -> Iterator[Edge]:
    with ThreadPoolExecutor(_READERS) as readers:
        parts = readers.map(_blocks, storage.list_files(folder, ".parquet"))
        whole = b"".join(block for blocks in parts for block in blocks)
    yield from unpack_edges(connect(whole))
