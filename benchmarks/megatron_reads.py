"""Read our shards with Megatron's own reader, and compare with what Megatron's builder writes.

Usage, from the repository, in an environment of its own (megatron-core brings torch):

    python -m venv .venv-megatron
    .venv-megatron/bin/pip install megatron-core==0.16.1 torch numpy pydantic pyarrow \\
        sentencepiece
    .venv-megatron/bin/python benchmarks/megatron_reads.py [OUT/shards/manifest.json]

Without a manifest it writes random documents, as uint16 and as uint32. With one it reads every
shard that the manifest lists. For each shard: Megatron's IndexedDataset, memory-mapped and not,
gives every document token by token as written and the same document boundaries, and Megatron's
IndexedDatasetBuilder, given the same documents, writes the same bytes. Exits with 1 otherwise.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stages.tokens.megatron import ShardWriter, TokenDtype
from training.data.shards import ShardReader

THEIR_DTYPES = {"uint16": np.uint16, "uint32": np.int32}
DOCUMENTS = 3000


class Shard(NamedTuple):
    prefix: Path
    dtype: str
    documents: list[np.ndarray]


def written_here(folder: Path) -> Iterator[Shard]:
    random = np.random.default_rng(1)
    limits: dict[TokenDtype, int] = {"uint16": 65_536, "uint32": 2**31}
    for dtype, limit in limits.items():
        documents = [
            random.integers(0, limit, size=int(random.integers(1, 3000)), dtype=np.uint32)
            for _ in range(DOCUMENTS)
        ]
        with ShardWriter(folder / dtype, dtype) as writer:
            for document in documents:
                writer.write(document)
        yield Shard(folder / dtype, dtype, documents)


def of_manifest(path: Path) -> Iterator[Shard]:
    reader = ShardReader(path)
    for split in reader.splits:
        documents = reader.documents(split)
        for entry in reader.manifest.shards:
            if entry.split == split and entry.docs:
                prefix = path.parent / entry.path
                own = [next(documents) for _ in range(entry.docs)]
                yield Shard(prefix, reader.manifest.dtype, own)


def differences(shard: Shard, folder: Path) -> Iterator[str]:
    for mapped in (True, False):
        theirs = IndexedDataset(str(shard.prefix), mmap=mapped)
        if len(theirs) != len(shard.documents):
            yield f"{len(theirs)} sequences, not {len(shard.documents)}"
        if not np.array_equal(theirs.document_indices, np.arange(len(theirs) + 1)):
            yield "document boundaries differ"
        wrong = sum(
            not np.array_equal(theirs[number], document)
            for number, document in enumerate(shard.documents)
        )
        if wrong:
            yield f"{wrong} documents differ (mmap={mapped})"
    built = folder / "theirs"
    builder = IndexedDatasetBuilder(f"{built}.bin", dtype=THEIR_DTYPES[shard.dtype])
    for document in shard.documents:
        builder.add_document(torch.from_numpy(document.astype(np.int64)), [len(document)])
    builder.finalize(f"{built}.idx")
    for end in ("bin", "idx"):
        if Path(f"{built}.{end}").read_bytes() != Path(f"{shard.prefix}.{end}").read_bytes():
            yield f".{end} is not what Megatron's builder writes"


def main() -> int:
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = of_manifest(Path(sys.argv[1])) if len(sys.argv) > 1 else written_here(folder)
        for shard in shards:
            found = list(differences(shard, folder))
            failed |= bool(found)
            tokens = sum(map(len, shard.documents))
            result = "; ".join(found) or "read alike, and built alike byte for byte"
            print(f"{shard.prefix.name} {shard.dtype}: {len(shard.documents)} documents, ", end="")
            print(f"{tokens} tokens: {result}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
