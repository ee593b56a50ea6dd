"""What a checkpoint of adapters says of the model that they belong to.

`adapter.json` lies beside the tensors: {base, fingerprint, lora | prompt_tuning}.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.adapters.config import LoraConfig, PromptTuning
from model.config import ModelConfig, Section
from model.weights import Weights, expected_shapes
from schemas.checked import checked
from schemas.errors import InputError, UsageError

ADAPTER = "adapter.json"

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
        """Raises InputError for a file that is damaged."""
        try:
            tree = json.loads(path.read_text("utf-8"))
            return checked(cls, tree, str(path))
        except (OSError, ValueError, UsageError) as error:
            reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
            raise InputError(f"{path}: cannot be read: {reason}") from error

    def open_base(self, path: Path, opener: Opener) -> Weights:
        """The frozen weights; `path` is that of adapter.json.

        Raises InputError where they are missing or others than those trained on.
        """
        try:
            base = opener(self.base)
        except InputError as error:
            raise InputError(
                f"{path}: the base of these adapters cannot be opened: {error}; put it, or a link "
                "to it, in its place"
            ) from error
        if fingerprint(base) != self.fingerprint:
            raise InputError(
                f"{path}: {self.base} holds other weights than these adapters were trained on; "
                "put those back"
            )
        return base


def fingerprint(weights: Weights) -> str:
    """Sha256 over what names a model's weights: its shape, and the tensors of the last layer and
    outside of layers, embedding and head aside, as float32. Any training changes the last layer,
    and reading it costs a fraction of the model; so the folder may be of any kind."""
    config = weights.config
    digest = hashlib.sha256(json.dumps(_tensor_keys(config), sort_keys=True).encode())
    last = f"layers.{config.n_layers - 1}."
    for name in sorted(expected_shapes(config)):
        if name.startswith(last) or name == "norm.weight":
            digest.update(name.encode())
            digest.update(weights.tensor(name).float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _tensor_keys(config: ModelConfig) -> dict[str, Any]:
    """The keys that decide which tensors there are."""
    shapes = expected_shapes(config)
    return {name: list(shape) for name, shape in shapes.items()}
