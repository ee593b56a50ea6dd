"""From a document in a shard back to the crawl: lookups in docs.parquet."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import InputError
from schemas.shards import DOCS_NAME, ShardEntry

if TYPE_CHECKING:
    import pyarrow as pa

    from training.data.shards import ShardReader

_NUMBER = re.compile(r"-([0-9]+)$")


class Origin(NamedTuple):
    """One row of docs.parquet."""

    id: str
    split: str
    shard: int
    """Number of the shard in its split, as `shard_numbers` gives it."""
    position: int
    """Number of the document in its shard."""
    tokens: int
    """EOS included."""
    url: str
    language: str
    source: str
    quality_bucket: int | None
    warc_file: str
    warc_offset: int
    """Byte offset of the record in the compressed file."""


def shard_numbers(entries: list[ShardEntry]) -> Iterator[tuple[ShardEntry, int]]:
    """Every shard with the number that docs.parquet gives it.

    That is the NNNNN of a path that ends in `-NNNNN`: numbers may have gaps, where the range of
    hashed keys of a shard held no document. Other paths count from 0 within their split.
    """
    counts: dict[str, int] = {}
    for entry in entries:
        ordinal = counts.get(entry.split, 0)
        counts[entry.split] = ordinal + 1
        written = _NUMBER.search(entry.path)
        yield entry, int(written.group(1)) if written else ordinal


def read_origins(
    path: Path, split: str, shard: int, positions: Collection[int]
) -> dict[int, Origin]:
    """Rows of one shard by position; reads only row groups whose statistics allow them.

    Raises InputError when the file is missing, unreadable, or lacks one of the positions.
    """
    table = _read(
        path,
        list(Origin._fields),
        [("split", "==", split), ("shard", "==", shard), ("position", "in", sorted(positions))],
    )
    origins = {row["position"]: Origin(**row) for row in table.to_pylist()}
    missing = set(positions) - origins.keys()
    if missing:
        raise InputError(
            f"{path} has no row for split {split}, shard {shard}, document {min(missing)}"
        )
    return origins


def read_sources(reader: ShardReader, split: str) -> npt.NDArray[np.str_]:
    """`source` of every document of a split, in manifest order; "unknown" where it has none.

    Raises InputError when docs.parquet is missing, unreadable, or lists another number of them.
    """
    import pyarrow.compute as pc

    path = reader.path.parent / DOCS_NAME
    table = _read(path, ["shard", "position", "source"], [("split", "==", split)])
    shards, positions = (table.column(name).to_numpy() for name in ("shard", "position"))
    starts = reader.shard_starts(split)
    documents = reader.total_documents(split)
    unknown = set(np.unique(shards).tolist()) - starts.keys()
    if unknown or table.num_rows != documents:
        raise InputError(
            f"{path} lists {table.num_rows} documents of split {split}, the shards hold {documents}"
        )
    of_shard = np.zeros(max(starts, default=0) + 1, dtype=np.int64)
    of_shard[list(starts)] = list(starts.values())
    codes = pc.fill_null(table.column("source"), "").combine_chunks().dictionary_encode()
    places = of_shard[shards] + positions
    names = np.array([name or "unknown" for name in codes.dictionary.to_pylist()] or [""])
    ordered = np.empty(documents, dtype=names.dtype)
    if documents and not 0 <= places.min() <= places.max() < documents:
        raise InputError(f"{path} lists documents of split {split} that the shards do not hold")
    ordered[places] = names[codes.indices.to_numpy()]
    return ordered


def _read(path: Path, columns: list[str], filters: list[tuple[str, str, Any]]) -> pa.Table:
    # Here and not above: a reader that only feeds tokens needs neither Arrow nor its memory.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns, filters=filters, partitioning=None)
    except FileNotFoundError:
        raise InputError(f"cannot trace documents: there is no {path}") from None
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot trace documents: {path} is unreadable: {reason}") from error
