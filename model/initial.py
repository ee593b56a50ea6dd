"""First weights, as a function of a parameter's name: the same on any layout over ranks."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from model.config import ModelConfig

_INTO_RESIDUAL = ("o_proj.weight", "down_proj.weight", "experts.down_proj")
"""Projections into the residual stream: drawn smaller by sqrt(2 n_layers), as GPT-2 does (Radford
et al. 2019, section 2.3)."""


def initial_weight(config: ModelConfig, name: str, shape: torch.Size, seed: int) -> Tensor:
    """The whole parameter `name` of a decoder, float32 on the CPU: norms are one, biases zero, the
    rest normal with `init_std`. With tied embeddings both names get the same weights."""
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    if name.endswith("bias"):
        return torch.zeros(shape)
    if config.tie_embeddings and name == "head.weight":
        name = "embedding.weight"
    std = config.init_std
    if name.endswith(_INTO_RESIDUAL):
        std /= (2 * config.n_layers) ** 0.5
    return torch.empty(shape).normal_(std=std, generator=generator_of(name, seed))


def generator_of(name: str, seed: int) -> torch.Generator:
    """What the weights of a name are drawn with."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
