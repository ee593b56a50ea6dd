"""The files of deduplication: keys in; counts, pairs and clusters out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipelines import storage
from pipelines.phases.components import (
    EDGE,
    UID_BYTES,
    Edge,
    PackEdges,
    connect,
    unpack_edges,
)
from pipelines.phases.members import ClusterRow, Key
from schemas.errors import InputError
from schemas.tables import CLUSTER_V1, KEY_V1

_ROWS_PER_BATCH = 8192
_EDGES_PER_FILE = 1_000_000
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


class WriteCounts(beam.PTransform):
    """(name, number) -> one small JSON file of sums; written even when there is nothing."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

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
            | "Write" >> beam.Map(_write_counts, self._path)
        )


def _pair(counted: tuple[str, int]) -> tuple[str, int]:
    return counted


def _write_counts(gathered: tuple[int, Iterable[tuple[str, int]]], path: str) -> None:
    sums = {name: number for name, number in sorted(gathered[1]) if name}
    storage.write_bytes(path, json.dumps(sums).encode())


def read_counts(path: str) -> dict[str, int]:
    """What WriteCounts left."""
    return {name: int(n) for name, n in json.loads(storage.read_bytes(path)).items()}


class WriteClusters(beam.PTransform):
    """Rows -> `count` files by hashed cluster id, every one of them written, each sorted."""

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


def _write_clusters(group: tuple[int, Iterable[tuple[Any, ...]]], folder: str) -> None:
    number, rows = group[0], [ClusterRow(*plain) for plain in group[1] if plain]
    rows.sort(key=_row_order)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(ClusterRow._fields)
    named = dict(zip(ClusterRow._fields, columns, strict=True))
    table = pa.table([named[name] for name in CLUSTER_V1.names], schema=CLUSTER_V1)
    storage.write_table(storage.join(folder, f"clusters-{number:05d}.parquet"), table)


class WriteEdges(beam.PTransform):
    """Pairs -> files of packed blocks. Their names are random: what a repeated bundle writes
    twice is the same true pairs twice, which no component notices."""

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


def _write_block(block: bytes, folder: str) -> None:
    table = pa.table({"edges": [block]}, schema=_EDGE_SCHEMA)
    storage.write_table(storage.join(folder, f"{uuid.uuid4().hex}.parquet"), table)


def read_edges(pipeline: beam.Pipeline, files: list[str]) -> beam.PCollection:
    """The pairs of all files, in no order."""
    return (
        pipeline
        | "EdgeFiles" >> beam.Create(files, reshuffle=False)
        | "SpreadEdgeFiles" >> beam.Reshuffle()
        | "ReadEdges" >> beam.FlatMap(_read_edge_file).with_output_types(EDGE)
    )


def _read_edge_file(path: str) -> Iterator[Edge]:
    for block in storage.read_table(path).column("edges").to_pylist():
        yield from unpack_edges(block)


def connect_files(edges: str, stars: str) -> None:
    """Union-find in this process, from files of pairs to files of stars."""
    whole = bytearray()
    for path in storage.list_files(edges, ".parquet"):
        for block in storage.read_table(path).column("edges").to_pylist():
            whole += block
    found = connect(bytes(whole))
    step = _EDGES_PER_FILE * 2 * UID_BYTES
    for number, start in enumerate(range(0, len(found), step)):
        table = pa.table({"edges": [found[start : start + step]]}, schema=_EDGE_SCHEMA)
        storage.write_table(storage.join(stars, f"stars-{number:05d}.parquet"), table)
