"""JSONL files as token shards in the folder of a run, as `corpusmill curate` writes them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import InputError, OutputError
from schemas.shards import (
    DOCS_NAME,
    MANIFEST_NAME,
    ShardChecksums,
    ShardEntry,
    ShardManifestV1,
    TokenizerFile,
)
from schemas.tables import SHARD_DOC_V1
from stages.tokens.megatron import LARGEST_ID, ShardWriter, TokenDtype
from training.data.jsonl import JsonlReader, Record
from training.tokenizers import find_tokenizer, save_tokenizer
from training.tokenizers.loading import BYTE

RECORD_NAME = "text.json"
"""What the shards were made from, and the lines that were left out."""

_SHARD_TOKENS = 1 << 28
_ROWS = 1 << 16
_SPLITS = ("train", "validation")


class Encoder(Protocol):
    """What text needs of a tokenizer."""

    vocab_size: int
    eos_id: int

    def encode(self, text: str) -> Sequence[int] | npt.NDArray[np.integer]:
        """Ids of a text, without EOS. Raises InputError for a text that it cannot take."""


def write_text_shards(
    files: Sequence[str | Path],
    folder: Path,
    tokenizer: Encoder,
    tokenizer_file: str | Path | None,
    *,
    validation_fraction: float,
) -> Path:
    """Shards of these files in `folder`, with the tokenizer of `tokenizer_file` (None: it has no
    file, as for bytes); returns the manifest's path.

    One document a line: `text`, and where given `id`, `url`, `language` and `source` (default: the
    name of the file). A document's split follows from a hash of its id (by default: of its text),
    so that it does not change with its neighbours. docs.parquet gives the file as `warc_file` and
    the byte at which the line begins, in the unpacked file, as `warc_offset`. Lines that are no
    such record are left out, counted, and named in text.json.

    Shards of an earlier call are kept when files (path, size, sha256), tokenizer and fraction are
    the same.

    Raises InputError for a file that is missing or damaged, when every line is bad, and when all
    documents fall into the validation split; OutputError when the folder does not take them.
    """
    manifest = folder / MANIFEST_NAME
    spec = BYTE if tokenizer_file is None else tokenizer_file
    made_from = {
        "files": [_identity(Path(path)) for path in files],
        "tokenizer": _tokenizer_identity(tokenizer, spec),
        "validation_fraction": validation_fraction,
    }
    if manifest.is_file() and _read_record(folder).get("made_from") == made_from:
        return manifest
    try:
        _clear(folder)
        for split in _SPLITS:
            (folder / split).mkdir(parents=True)
        (folder / RECORD_NAME).write_text("{}\n", "utf-8")
        saved = save_tokenizer(spec, folder)
        writer = _Shards(folder, tokenizer)
        counts = _write(files, writer, tokenizer, validation_fraction)
        record = {"made_from": made_from, **counts}
        (folder / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
        digest = hashlib.sha256(saved.read_bytes()).hexdigest()
        file = TokenizerFile(file=saved.name, sha256=digest)
        _write_manifest(manifest, writer, tokenizer, file)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return manifest


def text_report(folder: Path) -> str | None:
    """One line on what was left out when the shards in `folder` were made, if anything was."""
    record = _read_record(folder)
    bad: dict[str, Any] = record.get("bad", {})
    if not bad:
        return None
    kinds = ", ".join(
        f"{kind}: {found['lines']} (first {found['first']})" for kind, found in bad.items()
    )
    total = sum(found["lines"] for found in bad.values())
    return f"{total} of {record['lines']} lines were left out; {kinds}"


def _clear(folder: Path) -> None:
    """Remove what an earlier call left, and nothing that it did not make."""
    if not (folder / RECORD_NAME).is_file() and any(p.is_file() for p in folder.rglob("*")):
        raise OutputError(
            f"{folder} holds files that no run wrote, and text would be tokenized to there; "
            "give another output"
        )
    shutil.rmtree(folder, ignore_errors=True)


def _write(
    files: Sequence[str | Path], writer: _Shards, tokenizer: Encoder, validation_fraction: float
) -> dict[str, Any]:
    """Tokenize all files; what was read and left out."""
    reader = JsonlReader()
    documents = 0
    with writer:
        for path in files:
            for record in reader.read(Path(path)):
                try:
                    ids = np.asarray(tokenizer.encode(record.text), dtype=np.int64)
                except InputError as error:
                    reader.leave_out(record.place, str(error))
                    continue
                documents += 1
                split = _SPLITS[_hash_share(record.id) < validation_fraction]
                writer.write(split, record, np.append(ids, tokenizer.eos_id))
    if not documents:
        first = next(iter(reader.bad.values()), None)
        why = f", {first['first']} first: {next(iter(reader.bad))}" if first else ""
        names = ", ".join(str(path) for path in files)
        raise InputError(
            f"data.text: {names}: none of {reader.lines} lines is a JSON object with a text{why}"
        )
    if not any(entry.split == "train" for entry in writer.entries):
        raise InputError(
            f"data.text: all {documents} documents fall into the validation split; bring more "
            "documents or lower data.validation_fraction"
        )
    return {"lines": reader.lines, "documents": documents, "bad": reader.bad}


class _Shards:
    """Shards of both splits and docs.parquet, as they grow."""

    def __init__(self, folder: Path, tokenizer: Encoder) -> None:
        self._folder = folder
        self.dtype: TokenDtype = (
            "uint16" if tokenizer.vocab_size - 1 <= LARGEST_ID["uint16"] else "uint32"
        )
        self.entries: list[ShardEntry] = []
        self._open: dict[str, ShardWriter] = {}
        self._numbers = dict.fromkeys(_SPLITS, 0)
        self._rows: list[dict[str, Any]] = []
        self._docs = pq.ParquetWriter(folder / DOCS_NAME, SHARD_DOC_V1)

    def write(self, split: str, record: Record, tokens: npt.NDArray[np.int64]) -> None:
        number = self._numbers[split]
        if split not in self._open:
            self._open[split] = ShardWriter(self._folder / _name(split, number), self.dtype)
        writer = self._open[split]
        self._rows.append(
            {
                "id": record.id,
                "split": split,
                "shard": number,
                "position": writer.docs,
                "tokens": len(tokens),
                "url": record.url,
                "language": record.language,
                "source": record.source,
                "quality_bucket": None,
                "warc_file": record.place.file,
                "warc_offset": record.place.offset,
            }
        )
        writer.write(tokens)
        if writer.tokens >= _SHARD_TOKENS:
            self._finish(split)
        if len(self._rows) >= _ROWS:
            self._flush()

    def _finish(self, split: str) -> None:
        written = self._open.pop(split).close()
        self.entries.append(
            ShardEntry(
                path=_name(split, self._numbers[split]),
                split=split,
                docs=written.docs,
                tokens=written.tokens,
                sha256=ShardChecksums(bin=written.bin_sha256, idx=written.idx_sha256),
            )
        )
        self._numbers[split] += 1

    def _flush(self) -> None:
        self._docs.write_table(pa.Table.from_pylist(self._rows, schema=SHARD_DOC_V1))
        self._rows.clear()

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for split in list(self._open):
                self._finish(split)
            self._flush()
        for writer in self._open.values():
            writer.discard()
        self._docs.close()


def _name(split: str, number: int) -> str:
    return f"{split}/shard-{number:05d}"


def _write_manifest(
    path: Path, shards: _Shards, tokenizer: Encoder, tokenizer_file: TokenizerFile
) -> None:
    entries = sorted(shards.entries, key=lambda entry: entry.path)
    vocabulary = tokenizer.vocab_size, tokenizer.eos_id, shards.dtype
    fingerprint = ShardManifestV1.fingerprint_of(tokenizer_file.sha256, *vocabulary, entries)
    manifest = ShardManifestV1(
        tokenizer=tokenizer_file,
        vocab_size=tokenizer.vocab_size,
        eos_id=tokenizer.eos_id,
        dtype=shards.dtype,
        shards=entries,
        recipe_hash="",
        fingerprint=fingerprint,
    )
    temporary = path.with_suffix(".tmp")
    temporary.write_text(manifest.to_json(), "utf-8")
    # Last: a folder with a manifest is whole.
    temporary.replace(path)


def _tokenizer_identity(tokenizer: Encoder, spec: str | Path) -> dict[str, Any]:
    content = b"" if spec == BYTE else find_tokenizer(spec).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"sha256": digest, "vocab_size": tokenizer.vocab_size, "eos_id": tokenizer.eos_id}


def _identity(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest}
    except OSError as error:
        raise InputError(f"data.text: cannot read {path}: {error.strerror}") from error


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD_NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _hash_share(id: str) -> float:
    """A number in [0, 1) that only the id decides."""
    digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") / (1 << 64)
