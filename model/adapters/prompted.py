"""A frozen model with virtual tokens, read from where both lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from model.adapters.config import PromptTuning
from model.adapters.virtual import add_virtual_tokens
from model.config import ModelConfig
from model.decoder import Decoder
from model.weights import Weights


class PromptedWeights:
    """`model.weights.Weights` of the frozen model, and what `extend` adds to a decoder of them."""

    def __init__(
        self,
        folder: Path,
        config: ModelConfig,
        base: Weights,
        prompt: PromptTuning,
        tokens: Mapping[str, Tensor],
    ) -> None:
        """`tokens`: the parameters of `model.adapters.virtual.virtual_shapes`."""
        self.folder = folder
        self.config = config
        self.prompt = prompt
        self.tokens = tokens
        self._base = base

    def tensor(self, name: str) -> Tensor:
        """See `model.weights.Weights`."""
        return self._base.tensor(name)

    def extend(self, decoder: Decoder, dtype: torch.dtype) -> None:
        """Give a decoder with these weights its virtual tokens."""
        weight = next(decoder.parameters())
        add_virtual_tokens(decoder, self.prompt)
        for name, tensor in self.tokens.items():
            module, _, last = name.rpartition(".")
            own = nn.Parameter(tensor.to(device=weight.device, dtype=dtype, copy=True))
            setattr(decoder.get_submodule(module), last, own)
