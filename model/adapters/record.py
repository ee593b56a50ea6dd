"""What a checkpoint of adapters says of the model that they belong to.

`adapter.json` lies beside the tensors: {base, fingerprint, lora | prompt_tuning}.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from model.adapters.config import LoraConfig, PromptTuning
from model.checkpoint_files import CHECKPOINTS, incomplete
from model.config import ModelConfig, Section
from model.weights import Weights, expected_shapes
from schemas.checked import checked
from schemas.errors import InputError, UsageError

ADAPTER = "adapter.json"

_ROWS = 17
"""Every so many rows are hashed. Prime, so that rows that repeat in powers of two (heads, groups)
are all met."""
_VERSION = f"rows{_ROWS}:"
"""Begins the fingerprints; earlier ones begin with nothing."""

Opener = Callable[[str | Path], Weights]
"""`model.pretrained.open_weights`."""


class AdapterRecord(Section):
    """adapter.json."""

    base: str
    """Absolute path of the folder with the frozen weights."""
    fingerprint: str
    """`fingerprint` of those weights."""
    lora: LoraConfig | None = None
    prompt_tuning: PromptTuning | None = None

    @classmethod
    def read(cls, path: Path) -> AdapterRecord:
        """Raises InputError for a file that is damaged or of another version."""
        try:
            tree = json.loads(path.read_text("utf-8"))
            record = checked(cls, tree, str(path))
        except (OSError, ValueError, UsageError) as error:
            reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
            raise InputError(f"{path}: cannot be read: {reason}") from error
        if not record.fingerprint.startswith(_VERSION):
            raise InputError(
                f"{path}: was written by another version, whose fingerprint of the base says too "
                "little, or is not known here; open it with that one, or train the adapters again"
            )
        return record

    def open_base(self, path: Path, opener: Opener) -> Weights:
        """The frozen weights; `path` is that of adapter.json. Where `base` is a run, they are those
        of the checkpoint that was trained on, be it the newest or not.

        Raises InputError where they are missing or others than those trained on.
        """
        try:
            for weights in self._candidates(opener):
                if fingerprint(weights) == self.fingerprint:
                    return weights
        except InputError as error:
            raise InputError(
                f"{path}: the base of these adapters cannot be opened: {error}; put it, or a link "
                "to it, in its place"
            ) from error
        raise InputError(
            f"{path}: {self.base} holds other weights than these adapters were trained on; put "
            "those back"
        )

    def _candidates(self, opener: Opener) -> Iterator[Weights]:
        """The base, and of a run that was trained further the other checkpoints, too."""
        newest = opener(self.base)
        yield newest
        for folder in sorted((Path(self.base) / CHECKPOINTS).glob("step-*"), reverse=True):
            if folder.name != Path(newest.folder).name and incomplete(folder) is None:
                yield opener(folder)


def fingerprint(weights: Weights) -> str:
    """Version and sha256 of what tells a model's weights from others: the shapes of its tensors,
    and as float32 those of one dimension and every 17th row of the others (of stacked matrices
    they are counted through), so that the folder may be of any kind.

    Reads the whole model, a tensor at a time, and hashes a seventeenth of it. Raises InputError.
    """
    config = weights.config
    digest = hashlib.sha256(json.dumps(_tensor_keys(config), sort_keys=True).encode())
    for name in sorted(expected_shapes(config)):
        tensor = weights.tensor(name)
        rows = tensor.flatten(0, -2)[::_ROWS] if tensor.dim() > 1 else tensor
        digest.update(name.encode())
        digest.update(rows.float().contiguous().numpy().tobytes())
    return f"{_VERSION}{digest.hexdigest()}"


def _tensor_keys(config: ModelConfig) -> dict[str, Any]:
    """The keys that decide which tensors there are."""
    shapes = expected_shapes(config)
    return {name: list(shape) for name, shape in shapes.items()}
