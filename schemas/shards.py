"""The shard manifest: what training needs to open, verify and trace token shards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import InputError

MANIFEST_NAME = "manifest.json"
DOCS_NAME = "docs.parquet"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerFile(_Strict):
    file: str
    """Path relative to the shards folder."""
    sha256: str


class ShardChecksums(_Strict):
    bin: str
    idx: str


class ShardEntry(_Strict):
    path: str
    """Path prefix relative to the shards folder, without .bin or .idx."""
    split: str
    docs: int
    tokens: int
    sha256: ShardChecksums


class ShardManifestV1(_Strict):
    schema_version: Literal[1] = 1
    tokenizer: TokenizerFile
    vocab_size: int
    eos_id: int
    dtype: Literal["uint16", "uint32"]
    shards: list[ShardEntry]
    recipe_hash: str
    fingerprint: str

    @staticmethod
    def fingerprint_of(
        tokenizer_sha256: str, vocab_size: int, eos_id: int, dtype: str, shards: list[ShardEntry]
    ) -> str:
        """sha256 over everything that decides which tokens a reader sees, in order."""
        content = [tokenizer_sha256, vocab_size, eos_id, dtype]
        content += [[s.path, s.split, s.docs, s.tokens, s.sha256.bin, s.sha256.idx] for s in shards]
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()

    def expected_fingerprint(self) -> str:
        """What the fingerprint must be, by the other fields."""
        return self.fingerprint_of(
            self.tokenizer.sha256, self.vocab_size, self.eos_id, self.dtype, self.shards
        )

    def to_json(self) -> str:
        """The manifest as written to disk."""
        return json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_file(cls, path: str | Path) -> ShardManifestV1:
        """Read and check a manifest. Raises InputError when it is missing or malformed."""
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            raise InputError(
                f"no shard manifest at {path}; point at OUT/shards/{MANIFEST_NAME}"
            ) from None
        return cls.from_bytes(data, path)

    @classmethod
    def from_bytes(cls, data: bytes, path: str | Path) -> ShardManifestV1:
        """Check a manifest that was read from `path`. Raises InputError when it is malformed."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = str(error).replace("\n", " ")[:200]
            raise InputError(f"{path} is not a shard manifest: {first}") from error
