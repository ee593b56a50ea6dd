"""Does docs.parquet list every document of the shards, once, with its number of tokens?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.shards import ShardEntry, ShardManifestV1
from schemas.tables import SHARD_DOC_V1
from stages.tokens.megatron import SequenceIndex
from training.data.origin import shard_numbers

_KEY_COLUMNS = ["split", "shard", "position", "tokens"]


def docs_problems(manifest: ShardManifestV1, path: Path, sound: list[ShardEntry]) -> Iterator[str]:
    """Problems of docs.parquet at `path`, in one line each.

    Rows may stand in any order. `sound` are the shards whose own files can be trusted: rows of
    the others are passed over.
    """
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        yield f"{path}: is missing"
        return
    except (pa.ArrowException, OSError) as error:
        yield f"{path}: is no Parquet file: {' '.join(str(error).split())[:200]}"
        return
    with file:
        for field in SHARD_DOC_V1:
            column = file.schema_arrow.field(field.name) if _has(file, field.name) else None
            if column is None or column.type != field.type:
                yield f"{path}: column {field.name} of type {field.type} is missing"
                return
        shards = _Shards(manifest, path.parent, sound)
        for batch in file.iter_batches(columns=_KEY_COLUMNS):
            problem = shards.take(batch)
            if problem:
                yield f"{path}: {problem}"
                return
    yield from (f"{path}: {problem}" for problem in shards.missing())


def _has(file: pq.ParquetFile, column: str) -> bool:
    return column in file.schema_arrow.names


class _Shards:
    """Which documents were seen so far, by split and shard number."""

    def __init__(self, manifest: ShardManifestV1, folder: Path, sound: list[ShardEntry]) -> None:
        self._known: set[tuple[str, int]] = set()
        self._lengths: dict[tuple[str, int], npt.NDArray[np.int32]] = {}
        self._seen: dict[tuple[str, int], npt.NDArray[np.bool_]] = {}
        trusted = set(sound)
        for entry, number in shard_numbers(manifest.shards):
            key = entry.split, number
            self._known.add(key)
            if entry in trusted:
                index = SequenceIndex.open(folder / f"{entry.path}.idx")
                self._lengths[key] = index.lengths_tokens
                self._seen[key] = np.zeros(entry.docs, dtype=np.bool_)

    def take(self, batch: pa.RecordBatch) -> str | None:
        """Mark the documents of some rows as seen; what is wrong with them, if anything."""
        split = batch.column("split").dictionary_encode()
        columns = [split.indices, *(batch.column(name) for name in _KEY_COLUMNS[1:])]
        if any(column.null_count for column in columns):
            return "a split, shard, position or tokens is null"
        names = split.dictionary.to_pylist()
        codes, shards, positions, tokens = (column.to_numpy() for column in columns)
        pairs = np.unique(np.stack([codes, shards]), axis=1).T
        for code, shard in pairs.tolist():
            rows = (codes == code) & (shards == shard)
            problem = self._mark((names[code], shard), positions[rows], tokens[rows])
            if problem:
                return f"split {names[code]}, shard {shard}: {problem}"
        return None

    def _mark(
        self,
        key: tuple[str, int],
        positions: npt.NDArray[np.int32],
        tokens: npt.NDArray[np.int32],
    ) -> str | None:
        if key not in self._known:
            return "is not in the manifest"
        if key not in self._lengths:
            return None
        seen, lengths = self._seen[key], self._lengths[key]
        if positions.min() < 0 or positions.max() >= len(seen):
            return f"positions go to {positions.max()}, the shard has {len(seen)} documents"
        if seen[positions].any() or len(np.unique(positions)) < len(positions):
            return "a document is listed twice"
        wrong = np.flatnonzero(lengths[positions] != tokens)
        if len(wrong):
            first = int(positions[wrong[0]])
            return f"document {first} has {lengths[first]} tokens, not {tokens[wrong[0]]}"
        seen[positions] = True
        return None

    def missing(self) -> Iterator[str]:
        """Shards that the rows did not cover."""
        for (split, shard), seen in self._seen.items():
            if not seen.all():
                count = int(np.count_nonzero(~seen))
                yield (
                    f"split {split}, shard {shard}: {count} documents are not listed, "
                    f"the first is {int(np.argmin(seen))}"
                )
