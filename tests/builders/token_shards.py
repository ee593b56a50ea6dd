"""A shards folder with the documents that a test names; EOS is 0."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.shards import ShardChecksums, ShardEntry, ShardManifestV1, TokenizerFile
from schemas.tables import SHARD_DOC_V1
from stages.tokens import ShardWriter

EOS = 0
VOCABULARY = 60_000


def numbered_documents(lengths: Sequence[int], first: int = 1) -> list[list[int]]:
    """Documents of these lengths, EOS included, in which no other token occurs twice."""
    documents = []
    for length in lengths:
        documents.append([*range(first, first + length - 1), EOS])
        first += length - 1
    return documents


def write_shards(
    folder: Path,
    splits: Mapping[str, Sequence[Sequence[int]]],
    *,
    shard_documents: int = 5,
    sources: Mapping[str, Sequence[str]] | None = None,
    tokenizer: bytes = b"none",
    vocab_size: int = VOCABULARY,
) -> Path:
    """Write documents by split, so many a shard; returns the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(tokenizer)
    digest = hashlib.sha256(tokenizer).hexdigest()
    entries: list[ShardEntry] = []
    rows: list[dict[str, Any]] = []
    for split, documents in splits.items():
        (folder / split).mkdir(exist_ok=True)
        for start in range(0, len(documents), shard_documents):
            number = start // shard_documents
            name = f"{split}/shard-{number:05d}"
            with ShardWriter(folder / name, "uint16") as writer:
                for position, tokens in enumerate(documents[start : start + shard_documents]):
                    writer.write(np.array(tokens))
                    source = sources[split][start + position] if sources else "warc"
                    rows.append(_row(split, number, position, len(tokens), source))
            done = writer.close()
            checksums = ShardChecksums(bin=done.bin_sha256, idx=done.idx_sha256)
            entries.append(
                ShardEntry(
                    path=name, split=split, docs=done.docs, tokens=done.tokens, sha256=checksums
                )
            )
    table = pa.Table.from_pylist(rows, schema=SHARD_DOC_V1)
    pq.write_table(table, folder / "docs.parquet")
    manifest = ShardManifestV1(
        tokenizer=TokenizerFile(file="tokenizer.model", sha256=digest),
        vocab_size=vocab_size,
        eos_id=EOS,
        dtype="uint16",
        shards=entries,
        recipe_hash="",
        fingerprint=ShardManifestV1.fingerprint_of(digest, vocab_size, EOS, "uint16", entries),
    )
    path = folder / "manifest.json"
    path.write_text(manifest.to_json(), encoding="utf-8")
    return path


def _row(split: str, shard: int, position: int, tokens: int, source: str) -> dict[str, Any]:
    return {
        "id": f"{split}-{shard}-{position}",
        "split": split,
        "shard": shard,
        "position": position,
        "tokens": tokens,
        "url": f"https://example.org/{split}/{shard}/{position}",
        "language": "en",
        "source": source,
        "quality_bucket": None,
        "warc_file": f"{shard}.warc.gz",
        "warc_offset": 1000 * position,
    }
