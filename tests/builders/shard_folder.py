"""A small shards folder with known content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.recipe import Tokenizer as TokenizerSettings
from schemas.shards import ShardChecksums, ShardEntry, ShardManifestV1, TokenizerFile
from schemas.tables import SHARD_DOC_V1
from stages.tokens import ShardWriter, Tokenizer, train_sentencepiece

EOS = 2
SPLITS = {"train": [4, 0, 7], "validation": [3]}
"""Documents of each shard; one shard is empty."""


def documents_of(split: str, shard: int, count: int) -> list[np.ndarray]:
    random = np.random.default_rng([len(split), shard])
    return [
        np.append(random.integers(4, 300, size=int(random.integers(0, 40))), EOS)
        for _ in range(count)
    ]


class ShardFolder:
    """A shards folder as the pack phase leaves it, with what it should hold."""

    def __init__(self, path: Path, dtype: str = "uint16") -> None:
        self.path = path
        self.manifest = path / "manifest.json"
        self.expected: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
        train_sentencepiece(
            ["some text"], path / "tokenizer.model", TokenizerSettings(vocab_size=300)
        )
        self.tokenizer = Tokenizer.load(path / "tokenizer.model")
        self.entries: list[ShardEntry] = []
        self.rows: list[dict[str, Any]] = []
        for split, shards in SPLITS.items():
            (path / split).mkdir()
            for number, count in enumerate(shards):
                self._add(split, number, count, dtype)
        self.write_docs(self.rows)
        self.write_manifest(dtype=dtype)

    def _add(self, split: str, number: int, count: int, dtype: str) -> None:
        name = f"{split}/shard-{number:05d}"
        limit = self.tokenizer.vocab_size
        with ShardWriter(self.path / name, dtype) as writer:  # type: ignore[arg-type]
            for position, tokens in enumerate(documents_of(split, number, count)):
                tokens = np.minimum(tokens, limit - 1)
                writer.write(tokens)
                self.expected[split].append(tokens)
                self.rows.append(
                    {
                        "id": f"{split}-{number}-{position}",
                        "split": split,
                        "shard": number,
                        "position": position,
                        "tokens": len(tokens),
                        "url": f"https://example.org/{position}",
                        "language": "en",
                        "source": "warc",
                        "quality_bucket": None,
                        "warc_file": "a.warc.gz",
                        "warc_offset": 1000 * position,
                    }
                )
        written = writer.close()
        self.entries.append(
            ShardEntry(
                path=name,
                split=split,
                docs=written.docs,
                tokens=written.tokens,
                sha256=ShardChecksums(bin=written.bin_sha256, idx=written.idx_sha256),
            )
        )

    def write_docs(self, rows: list[dict[str, Any]]) -> None:
        table = pa.Table.from_pylist(rows, schema=SHARD_DOC_V1)
        pq.write_table(table, self.path / "docs.parquet", row_group_size=4)

    def change_rows(self, change: Callable[[list[dict[str, Any]]], object]) -> None:
        """Change the rows of docs.parquet in place."""
        change(self.rows)
        self.write_docs(self.rows)

    def write_manifest(self, **changes: Any) -> None:
        content: dict[str, Any] = {
            "tokenizer": TokenizerFile(file="tokenizer.model", sha256=self.tokenizer.sha256),
            "vocab_size": self.tokenizer.vocab_size,
            "eos_id": EOS,
            "dtype": "uint16",
            "shards": self.entries,
            "recipe_hash": "0",
        } | changes
        content.setdefault(
            "fingerprint",
            ShardManifestV1.fingerprint_of(
                content["tokenizer"].sha256,
                content["vocab_size"],
                content["eos_id"],
                content["dtype"],
                content["shards"],
            ),
        )
        self.manifest.write_text(ShardManifestV1(**content).to_json(), encoding="utf-8")

    def seal(self) -> None:
        """Take new checksums of changed files, as if they had been written so."""
        self.entries = [
            entry.model_copy(
                update={
                    "sha256": ShardChecksums(
                        **{
                            end: hashlib.sha256(
                                (self.path / f"{entry.path}.{end}").read_bytes()
                            ).hexdigest()
                            for end in ("bin", "idx")
                        }
                    )
                }
            )
            for entry in self.entries
        ]
        self.write_manifest()
