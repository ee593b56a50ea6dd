"""What can be wrong with a shards folder, from cheap to thorough."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from schemas.errors import CorpusmillError, InputError
from schemas.shards import DOCS_NAME, ShardEntry, ShardManifestV1
from stages.tokens.megatron import LARGEST_ID, SequenceIndex

Depth = Literal["structure", "checksums", "content"]
"""structure: the manifest, and the sizes and counts of files; checksums: also the sha256 of every
file; content: also every token, the tokenizer and docs.parquet."""

_CHUNK_TOKENS = 1 << 24


def check(manifest_path: str | Path) -> list[str]:
    """Every problem of a shards folder, each in one line that names the file; empty when sound.

    Reads all bytes twice (checksums, tokens) and docs.parquet once, in constant memory but for
    one bit a document. A manifest that is missing or malformed is a problem like any other.
    """
    path = Path(manifest_path).resolve()
    try:
        manifest = ShardManifestV1.from_file(path)
    except InputError as error:
        return [str(error)]
    return list(find_problems(manifest, path, "content"))


def find_problems(manifest: ShardManifestV1, path: Path, depth: Depth) -> Iterator[str]:
    """Problems of the folder of the manifest at `path`, found as they are asked for."""
    yield from _manifest_problems(manifest, path)
    folder = path.parent
    yield from _tokenizer_problems(manifest, folder, depth)
    sound: list[ShardEntry] = []
    for entry in manifest.shards:
        problem = None
        for problem in _shard_problems(manifest, entry, folder, depth):
            yield problem
        if problem is None:
            sound.append(entry)
    if depth == "content":
        from training.data.verify_docs import docs_problems

        yield from docs_problems(manifest, folder / DOCS_NAME, sound)
        yield from _stray_files(manifest, folder)


def _manifest_problems(manifest: ShardManifestV1, path: Path) -> Iterator[str]:
    expected = manifest.expected_fingerprint()
    if manifest.fingerprint != expected:
        yield f"{path}: fingerprint is {manifest.fingerprint}, its entries give {expected}"
    if not 0 <= manifest.eos_id < manifest.vocab_size:
        yield f"{path}: eos_id {manifest.eos_id} is outside vocab_size {manifest.vocab_size}"
    if manifest.vocab_size - 1 > LARGEST_ID[manifest.dtype]:
        yield f"{path}: vocab_size {manifest.vocab_size} does not fit dtype {manifest.dtype}"
    names = Counter(entry.path for entry in manifest.shards)
    for name, count in names.items():
        if count > 1:
            yield f"{path}: shard {name} is listed {count} times"
    for name in [manifest.tokenizer.file, *names]:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            yield f"{path}: {name} lies outside the shards folder"


def _tokenizer_problems(manifest: ShardManifestV1, folder: Path, depth: Depth) -> Iterator[str]:
    path = folder / manifest.tokenizer.file
    if not path.is_file():
        yield f"{path}: the manifest's tokenizer is missing"
        return
    if depth == "structure":
        return
    digest = _sha256(path)
    if digest != manifest.tokenizer.sha256:
        yield f"{path}: sha256 is {digest}, the manifest says {manifest.tokenizer.sha256}"
    elif depth == "content":
        from training.tokenizers import load_tokenizer

        try:
            tokenizer = load_tokenizer(path)
        except CorpusmillError as error:
            yield str(error)
            return
        for name in ("vocab_size", "eos_id"):
            found, said = getattr(tokenizer, name), getattr(manifest, name)
            if found != said:
                yield f"{path}: {name} is {found}, the manifest says {said}"


def _shard_problems(
    manifest: ShardManifestV1, entry: ShardEntry, folder: Path, depth: Depth
) -> Iterator[str]:
    bin_path, idx_path = (folder / f"{entry.path}.{end}" for end in ("bin", "idx"))
    structure = list(_structure_problems(manifest, entry, bin_path, idx_path))
    yield from structure
    if structure or depth == "structure":
        return
    changed = False
    for path, said in ((bin_path, entry.sha256.bin), (idx_path, entry.sha256.idx)):
        digest = _sha256(path)
        if digest != said:
            changed = True
            yield f"{path}: sha256 is {digest}, the manifest says {said}"
    if depth == "content" and not changed:
        yield from _content_problems(manifest, entry, bin_path, idx_path)


def _structure_problems(
    manifest: ShardManifestV1, entry: ShardEntry, bin_path: Path, idx_path: Path
) -> Iterator[str]:
    try:
        size_bytes = bin_path.stat().st_size
    except OSError as error:
        yield f"{bin_path}: cannot be read: {error.strerror}"
        return
    expected_bytes = entry.tokens * np.dtype(manifest.dtype).itemsize
    if size_bytes != expected_bytes:
        yield (
            f"{bin_path}: has {size_bytes} bytes, {entry.tokens} tokens of {manifest.dtype} "
            f"take {expected_bytes}"
        )
    try:
        index = SequenceIndex.open(idx_path)
    except InputError as error:
        yield str(error)
        return
    if index.dtype != manifest.dtype:
        yield f"{idx_path}: token type is {index.dtype}, the manifest says {manifest.dtype}"
    if len(index.lengths_tokens) != entry.docs:
        yield (
            f"{idx_path}: has {len(index.lengths_tokens)} documents, the manifest says {entry.docs}"
        )
    if len(index.documents) != len(index.lengths_tokens) + 1:
        yield f"{idx_path}: documents are not one sequence each"


def _content_problems(
    manifest: ShardManifestV1, entry: ShardEntry, bin_path: Path, idx_path: Path
) -> Iterator[str]:
    dtype = np.dtype(manifest.dtype).newbyteorder("<")
    index = SequenceIndex.open(idx_path)
    ends = np.cumsum(index.lengths_tokens, dtype=np.int64)
    if not np.array_equal(index.documents, np.arange(entry.docs + 1)):
        yield f"{idx_path}: documents are not one sequence each"
    if entry.docs and int(index.lengths_tokens.min()) < 1:
        yield f"{idx_path}: a document has no token"
        return
    starts = ends - index.lengths_tokens
    if not np.array_equal(index.offsets_bytes, starts * dtype.itemsize):
        yield f"{idx_path}: byte offsets do not follow from the lengths"
    if (int(ends[-1]) if entry.docs else 0) != entry.tokens:
        yield f"{idx_path}: lengths do not add up to {entry.tokens} tokens"
        return
    if not entry.tokens:
        return
    tokens = np.asarray(np.memmap(bin_path, dtype=dtype, mode="r"))
    largest = max(
        int(tokens[start : start + _CHUNK_TOKENS].max())
        for start in range(0, len(tokens), _CHUNK_TOKENS)
    )
    if largest >= manifest.vocab_size:
        yield f"{bin_path}: holds token id {largest}, vocab_size is {manifest.vocab_size}"
    without_eos = np.flatnonzero(tokens[ends - 1] != manifest.eos_id)
    if len(without_eos):
        yield (
            f"{bin_path}: {len(without_eos)} documents do not end with EOS {manifest.eos_id}, "
            f"the first is document {without_eos[0]}"
        )


def _stray_files(manifest: ShardManifestV1, folder: Path) -> Iterator[str]:
    listed = {folder / f"{e.path}.{end}" for e in manifest.shards for end in ("bin", "idx")}
    for end in ("bin", "idx"):
        for path in sorted(folder.rglob(f"*.{end}")):
            if path not in listed:
                yield f"{path}: is not in the manifest"


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
