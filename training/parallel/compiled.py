"""torch.compile, block by block: all blocks share their code, so it is compiled once."""

from __future__ import annotations

import torch

from model.decoder import Decoder


def compile_blocks(part: Decoder) -> None:
    """Compile the forward pass of each block, in place, at its first call.

    What shards parameters stays outside, as hooks of the module; activation checkpointing is
    compiled with the block. Names of modules stay as they are.
    """
    for block in part.layers.values():
        setattr(block, "forward", torch.compile(block.forward))  # noqa: B010 - a method, for mypy
