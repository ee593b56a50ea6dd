"""Noise on embeddings while a model is fine-tuned."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.decoder import Decoder


class EmbeddingNoise:
    """NEFTune (Jain et al., arXiv 2310.05914, algorithm 1): to the embeddings [B, T, dim] of a
    sample of T places noise is added that is uniform in +-alpha / sqrt(T * dim).

    T is the width of the rows, padding among it, as in the authors' code. The noise follows from
    (seed, step, rank, micro-batch), so that a run that goes on repeats it. Only forward passes
    that gradients go through are noisy.
    """

    def __init__(
        self, parts: Sequence[Decoder], alpha: float, *key: int, context_ranks: int = 1
    ) -> None:
        """`key`: the seed, and numbers of what this rank holds of a batch; ranks that hold the same
        rows and places have to give the same. `context_ranks` share the places of a row."""
        self._alpha = alpha
        self._context_ranks = context_ranks
        self._key = key
        self._step = self._pass = 0
        for part in parts:
            if part.embedding is not None:
                part.embedding.register_forward_hook(self._add)

    def before_forward(self, number: int) -> None:
        """See `training.step.StepHook`."""
        self._step, self._pass = number, 0

    def after_backward(self, number: int) -> None:
        """Nothing."""

    def after_step(self, number: int) -> None:
        """Nothing."""

    def _add(self, module: nn.Module, inputs: Any, embedded: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return embedded
        self._pass += 1
        text = "/".join(map(str, (*self._key, self._step, self._pass)))
        digest = hashlib.sha256(text.encode()).digest()
        source = torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
        places = embedded.shape[1] * self._context_ranks
        bound = self._alpha / math.sqrt(places * embedded.shape[2])
        noise = torch.empty(embedded.shape, dtype=torch.float32).uniform_(
            -bound, bound, generator=source
        )
        return embedded + noise.to(embedded)
