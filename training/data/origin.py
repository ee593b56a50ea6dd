"""From a document in a shard back to the crawl: lookups in docs.parquet."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from schemas.errors import InputError
from schemas.shards import ShardEntry

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
    # Here and not above: a reader that only feeds tokens needs neither Arrow nor its memory.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(
            path,
            columns=list(Origin._fields),
            filters=[
                ("split", "==", split),
                ("shard", "==", shard),
                ("position", "in", sorted(positions)),
            ],
            partitioning=None,
        )
    except FileNotFoundError:
        raise InputError(f"cannot trace documents: there is no {path}") from None
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot trace documents: {path} is unreadable: {reason}") from error
    origins = {row["position"]: Origin(**row) for row in table.to_pylist()}
    missing = set(positions) - origins.keys()
    if missing:
        raise InputError(
            f"{path} has no row for split {split}, shard {shard}, document {min(missing)}"
        )
    return origins
