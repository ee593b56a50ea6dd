"""Shards in a store, checked where they lie: each file is streamed once and kept nowhere.

`corpusmill shards check` also looks at every token, for which it maps the files and needs them on
a disk. Here equal checksums stand for equal tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pipelines import storage
from pipelines.workspace import Workspace
from schemas.errors import InputError
from schemas.shards import MANIFEST_NAME, ShardManifestV1

_CHUNK_BYTES = 8 * 1024 * 1024


def read_manifest(workspace: Workspace) -> ShardManifestV1:
    """The manifest of a run, wherever it is. Raises InputError when missing or malformed."""
    path = workspace.shards(MANIFEST_NAME)
    return ShardManifestV1.from_bytes(storage.read_bytes(path), path)


def stored_shard_problems(manifest: ShardManifestV1, folder: str) -> Iterator[str]:
    """What differs between a manifest and the files of its folder, in one line each."""
    expected = manifest.expected_fingerprint()
    if manifest.fingerprint != expected:
        yield f"{MANIFEST_NAME}: fingerprint is {manifest.fingerprint}, its entries give {expected}"
    for name, sha256 in _files(manifest):
        path = storage.join(folder, name)
        try:
            found = _sha256(path)
        except (InputError, OSError) as error:
            yield f"{path}: {error}"
            continue
        if found != sha256:
            yield f"{path}: sha256 is {found}, the manifest says {sha256}"


def _files(manifest: ShardManifestV1) -> Iterator[tuple[str, str]]:
    """Name and sha256 of everything that a manifest vouches for."""
    yield manifest.tokenizer.file, manifest.tokenizer.sha256
    for entry in manifest.shards:
        yield f"{entry.path}.bin", entry.sha256.bin
        yield f"{entry.path}.idx", entry.sha256.idx


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with storage.open_input(path) as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
