"""torch.compile, block by block: all blocks share their code, so it is compiled once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from model.cache import LayerCache
from model.config import ModelConfig
from model.decoder import Block, Decoder
from model.self_attention import Surroundings
from training.config import TrainingConfig


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


def what_stays_uncompiled(shape: ModelConfig, config: TrainingConfig) -> list[str]:
    """What `train.compile` does not reach, a line each for people to read."""
    if not config.train.compile or shape.moe is None:
        return []
    mode = config.train.activation_checkpointing
    if mode != "none":
        return [f"train.compile: blocks with experts run uncompiled, as recomputation is {mode}"]
    if config.parallel.ep > 1:
        return ["train.compile: experts run uncompiled, as tokens travel to them (parallel.ep)"]
    return []
