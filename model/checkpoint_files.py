"""The weights in a checkpoint of a training run.

`RUN/checkpoints/step-N/` holds the files of torch.distributed.checkpoint, with each parameter whole
under `model.<name>`, the shape in `model.json`, and `checksums.json`: {file: {bytes, sha256}}, the
last file to be written. `training.checkpoint` writes them.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from model.config import ModelConfig
from model.weights import differences, expected_shapes, stored_name
from schemas.checked import checked
from schemas.errors import InputError, UsageError

CHECKPOINTS = "checkpoints"
SHAPE = "model.json"
CHECKSUMS = "checksums.json"
_STEP = re.compile(r"step-(\d+)")
MODEL_PART = "model"


def latest_checkpoint(run: Path) -> Path:
    """The complete checkpoint of the highest step. Raises InputError without one."""
    root = run / CHECKPOINTS
    steps = {int(m[1]): p for p in root.glob("step-*") if (m := _STEP.fullmatch(p.name))}
    problems: list[str] = []
    for step in sorted(steps, reverse=True):
        problem = incomplete(steps[step])
        if problem is None:
            return steps[step]
        problems.append(f"{steps[step].name}: {problem}")
    found = f"; {problems[0]}" if problems else ""
    raise InputError(f"{root}: holds no complete checkpoint{found}")


def incomplete(folder: Path) -> str | None:
    """What is wrong with the files of a checkpoint, None if they are there in their sizes. Their
    checksums are not computed."""
    listed = read_json(folder / CHECKSUMS)
    if listed is None:
        return f"{CHECKSUMS} is missing or damaged"
    for name in {SHAPE, ".metadata"} - listed.keys():
        return f"{CHECKSUMS} does not list {name}"
    for name, entry in listed.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if not isinstance(entry, dict) or path.stat().st_size != entry.get("bytes"):
            return f"{name} has not the size in {CHECKSUMS}"
    return None


class CheckpointTensors:
    """Shape and tensors of a checkpoint folder, by name.

    Only for checkpoints of your own: torch's index of a checkpoint is a pickle, which can run code.
    """

    def __init__(self, folder: Path, part: str = MODEL_PART) -> None:
        """Read shape and index. `part` may also be the moving average, `ema`.

        Raises InputError for a damaged checkpoint.
        """
        self.folder = folder
        problem = incomplete(folder)
        if problem is not None:
            raise InputError(f"{folder}: {problem}")
        try:
            self.config = checked(ModelConfig, read_json(folder / SHAPE) or {}, str(folder / SHAPE))
        except UsageError as error:
            raise InputError(str(error)) from error
        self._prefix = f"{part}."
        self._reader = dcp.FileSystemReader(folder)
        self._stored = self._index()

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """Of the whole tensors."""
        return {name: entry.size for name, entry in self._stored.items()}

    def tensor(self, name: str) -> Tensor:
        """A whole tensor, in the type it is stored in. Raises InputError."""
        entry = self._stored[name]
        target = torch.empty(entry.size, dtype=entry.properties.dtype)
        try:
            with warnings.catch_warnings():
                # It warns that it is not distributed, which is what it is asked for.
                warnings.simplefilter("ignore", UserWarning)
                named = {self._prefix + name: target}
                dcp.load(named, storage_reader=self._reader, no_dist=True)
        except CheckpointException as error:
            cause = next(iter(error.failures.values()))[0]
            reason = " ".join(str(cause).split())
            raise InputError(f"{self.folder}: {name} cannot be read: {reason}") from error
        return target

    def _index(self) -> dict[str, TensorStorageMetadata]:
        try:
            found = self._reader.read_metadata().state_dict_metadata
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise InputError(f"{self.folder}: .metadata cannot be read: {error}") from error
        return {
            name.removeprefix(self._prefix): entry
            for name, entry in found.items()
            if name.startswith(self._prefix) and isinstance(entry, TensorStorageMetadata)
        }


class CheckpointWeights:
    """The weights of a checkpoint folder, by the names of `Decoder`."""

    def __init__(self, folder: Path) -> None:
        """Read shape and index, and check the names.

        Raises InputError for a damaged checkpoint, and one that is not of this shape.
        """
        self.folder = folder
        self._tensors = CheckpointTensors(folder)
        self.config = self._tensors.config
        ignored = {"head.weight"} if self.config.tie_embeddings else set()
        stored = {n: e for n, e in self._tensors.shapes.items() if n not in ignored}
        problem = differences(stored, expected_shapes(self.config))
        if problem is not None:
            raise InputError(f"{folder}: {problem}")

    def tensor(self, name: str) -> Tensor:
        """See `model.weights.Weights`."""
        return self._tensors.tensor(stored_name(name, self.config))


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, None where there is none that is whole."""
    try:
        tree = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return tree if isinstance(tree, dict) else None
