"""torch.compile, block by block: all blocks share their code, so it is compiled once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from model.cache import LayerCache
from model.decoder import Block, Decoder
from model.self_attention import Surroundings


def compile_blocks(part: Decoder, backend: str | Callable[..., object] = "inductor") -> None:
    """Compile the forward pass of each block, in place, at its first call.

    What shards parameters stays outside, as hooks of the module; activation checkpointing is
    compiled with the block, except in blocks with experts: they count their load, which torch does
    not compile in a part that is recomputed, and run as they are. Names of modules stay.
    """
    for block in part.layers.values():
        assert isinstance(block, Block)
        setattr(block, "forward", _compiled(block, backend))  # noqa: B010 - a method, for mypy


def _compiled(block: Block, backend: str | Callable[..., object]) -> Callable[..., Tensor]:
    compiled = torch.compile(block.forward, backend=backend)

    def forward(x: Tensor, around: Surroundings, cache: LayerCache | None = None) -> Tensor:
        # Recomputed code must not write what is shared between layers, or nothing is compiled.
        block.attention.prepare(x, around)
        return compiled(x, around, cache)

    return forward
