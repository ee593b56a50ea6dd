"""The files of a checkpoint, and how one appears and vanishes at once. Imports no torch.

`checkpoints/step-N/` holds the files of torch.distributed.checkpoint and the JSON files below. What
is being written or deleted has a name that no reader takes for a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.config import ModelConfig
from schemas.checked import checked
from schemas.errors import InputError

RECORD = "record.json"
"""What the trainer needs besides tensors."""
MODEL = "model.json"
"""The shape of the model."""
CHECKSUMS = "checksums.json"
"""{file: {bytes, sha256}} of all other files, written last."""

Depth = Literal["checksums", "sizes"]

_NAME = re.compile(r"step-(\d+)(\.old)?")
"""`.old` is a checkpoint whose successor of the same step was about to take its name."""
_PARTIAL, _DELETED = ".partial-", ".deleted-"
_HASH_THREADS = 4


@dataclass(frozen=True)
class CheckpointRef:
    """A complete checkpoint."""

    folder: Path
    step: int

    def record(self) -> dict[str, Any]:
        """What the trainer saved with it. Raises InputError."""
        return _read_object(self.folder / RECORD)

    def shape(self) -> ModelConfig:
        """The model's shape. Raises InputError, UsageError for a shape of another version."""
        path = self.folder / MODEL
        return checked(ModelConfig, _read_object(path), str(path))


def candidates(root: Path) -> list[CheckpointRef]:
    """Folders that look like checkpoints, the newest first."""
    try:
        names = [entry.name for entry in root.iterdir()]
    except FileNotFoundError:
        return []
    found = [match for match in map(_NAME.fullmatch, names) if match]
    found.sort(key=lambda match: (int(match[1]), match[2] is None), reverse=True)
    return [CheckpointRef(root / match[0], int(match[1])) for match in found]


def newest_whole(root: Path) -> CheckpointRef | None:
    """The newest checkpoint whose files are there in their sizes; None without one."""
    return next((ref for ref in candidates(root) if problem_of(ref, "sizes") is None), None)


def partial_folder(root: Path, step: int) -> Path:
    """Where the checkpoint of a step is written."""
    return root / f"{_PARTIAL}step-{step}"


def prepare(root: Path, step: int) -> Path:
    """An empty `partial_folder`; what killed saves left is removed. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    for entry in list(root.iterdir()):
        if entry.name.startswith((_PARTIAL, _DELETED)):
            shutil.rmtree(entry)
    partial = partial_folder(root, step)
    partial.mkdir()
    return partial


def checksums(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """{name: {bytes, sha256}}. Raises OSError."""
    paths = list(paths)
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        sums = pool.map(_sha256, paths)
        return {
            path.name: {"bytes": path.stat().st_size, "sha256": digest}
            for path, digest in zip(paths, sums, strict=True)
        }


def complete(partial: Path, jsons: Mapping[str, Any], sums: Mapping[str, dict[str, Any]]) -> None:
    """Write the JSON files, their checksums after `sums`, and all of it to the disk.

    Raises OSError.
    """
    for name, tree in jsons.items():
        _write_json(partial / name, tree)
    listed = {**sums, **checksums(partial / name for name in jsons)}
    _write_json(partial / CHECKSUMS, dict(sorted(listed.items())))
    sync_folder(partial)


def publish(partial: Path, step: int) -> CheckpointRef:
    """Give a completed folder its name. At no instant is there neither the old checkpoint of this
    step nor the new one. Raises OSError."""
    root = partial.parent
    target = root / f"step-{step}"
    if target.exists():
        old = root / f"{target.name}.old"
        if old.exists():
            _discard(old)
        target.rename(old)
    partial.rename(target)
    sync_folder(root)
    return CheckpointRef(target, step)


def prune(root: Path, step: int, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints up to `step`, and replaced ones.

    Later ones stay: the run was taken back behind them, or they are damaged. Raises OSError.
    """
    kept: set[int] = set()
    for ref in candidates(root):
        if ref.step > step:
            continue
        if ref.step in kept or len(kept) == keep:
            _discard(ref.folder)
        else:
            kept.add(ref.step)


def problem_of(ref: CheckpointRef, depth: Depth) -> str | None:
    """What is wrong with the files of a checkpoint, None if nothing is."""
    try:
        listed = _read_object(ref.folder / CHECKSUMS)
        for name, entry in listed.items():
            size = (ref.folder / name).stat().st_size
            if size != entry["bytes"]:
                return f"{name} has {size} bytes of {entry['bytes']}"
        if depth == "checksums":
            found = checksums(ref.folder / name for name in listed)
            wrong = [name for name in listed if found[name]["sha256"] != listed[name]["sha256"]]
            if wrong:
                return f"{wrong[0]} does not have its sha256"
        missing = {RECORD, MODEL, ".metadata"} - listed.keys()
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"{Path(error.filename or ref.folder).name} cannot be read: {error.strerror}"
    except InputError as error:
        return str(error).removeprefix(f"{ref.folder}{os.sep}")
    except (KeyError, TypeError, AttributeError):
        return f"{CHECKSUMS} is no list of files"
    return f"{CHECKSUMS} does not list {min(missing)}" if missing else None


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(folder: Path) -> None:
    # Renamed first, so that a half-deleted folder is not taken for a damaged checkpoint.
    gone = folder.with_name(f"{_DELETED}{folder.name}")
    if gone.exists():
        shutil.rmtree(gone)
    folder.rename(gone)
    shutil.rmtree(gone)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, tree: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(tree, file, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _read_object(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} is no JSON object")
    return tree
