"""From a Hugging Face folder to a decoder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from model.decoder import Decoder
from model.huggingface.families import read_config
from model.huggingface.names import is_stacked, their_names
from model.huggingface.safetensors_folder import SafetensorsFolder, read_object
from model.weights import build, differences, expected_shapes, stored_name
from schemas.errors import InputError

CONFIG = "config.json"

_DERIVED = ("rotary_emb.inv_freq", "masked_bias")
"""Ends of names that old files hold and no model needs."""


class HuggingFaceWeights:
    """The weights of a Hugging Face folder, by the names of `Decoder`."""

    def __init__(self, folder: Path) -> None:
        """Read the configuration and check the names of all tensors.

        Raises InputError for another family, a missing or damaged file, and a tensor that is
        missing or has no place.
        """
        self.folder = folder
        family, self.config = read_config(read_object(folder / CONFIG), folder / CONFIG)
        self._stored = SafetensorsFolder(folder)
        names = expected_shapes(self.config)
        self._theirs = {name: their_names(name, self.config, family) for name in names}
        wanted = dict.fromkeys(theirs for parts in self._theirs.values() for theirs in parts)
        ignored = {"lm_head.weight"} if self.config.tie_embeddings else set()
        held = {
            name: file
            for name, file in self._stored.files.items()
            if name not in ignored and not name.endswith(_DERIVED)
        }
        problem = differences(held, wanted)
        if problem is not None:
            raise InputError(f"{folder}: {problem}")

    def tensor(self, name: str) -> Tensor:
        """See `model.weights.Weights`."""
        parts = self._theirs[stored_name(name, self.config)]
        if not is_stacked(name):
            return self._stored.tensor(parts[0])
        first = self._stored.tensor(parts[0])
        stacked = torch.empty((len(parts), *first.shape), dtype=first.dtype)
        for place, part in zip(stacked, parts, strict=True):
            slice_ = self._stored.tensor(part)
            if slice_.shape != first.shape:
                raise InputError(
                    f"{self.folder}: {part} has the shape {list(slice_.shape)}, other experts "
                    f"{list(first.shape)}"
                )
            place.copy_(slice_)
        return stacked


def load_huggingface(
    folder: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Decoder:
    """The decoder of a Hugging Face folder (Llama, Qwen2, Qwen3, Mistral, Mixtral, Qwen3-MoE), in
    evaluation mode, its weights converted to `dtype`.

    Raises InputError in one line for what the folder lacks or what no decoder here can be.
    """
    return build(HuggingFaceWeights(Path(folder)), torch.device(device), dtype)
