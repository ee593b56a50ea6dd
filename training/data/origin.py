"""From a document in a shard back to the crawl: lookups in docs.parquet."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from schemas.errors import InputError


class Origin(NamedTuple):
    """One row of docs.parquet."""

    id: str
    split: str
    shard: int
    """Number of the shard among those of its split."""
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
        raise InputError(f"{path} has no row for split {split}, shard {shard}, {min(missing)}")
    return origins
