"""Rotary position embedding: angles in float32 from whole positions, never from rounded ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from model.config import ModelConfig, RopeConfig


class Frequencies(NamedTuple):
    """What turns a position into a rotation."""

    inverse: Tensor
    """Radians a position of each pair, float32 [head_size / 2]."""
    magnitude: float
    """Factor on cos and sin."""


def _plain(theta: float, size: int, device: torch.device | None) -> Tensor:
    exponents = torch.arange(0, size, 2, dtype=torch.float32, device=device) / size
    return 1.0 / theta**exponents


def _none(
    rope: RopeConfig, size: int, original: int, length: int, device: torch.device | None
) -> Frequencies:
    return Frequencies(_plain(rope.theta, size, device), 1.0)


Scaling = Callable[[RopeConfig, int, int, int, "torch.device | None"], Frequencies]

SCALINGS: dict[str, Scaling] = {"none": _none}
"""By name: (rope, head_size, original_len, length, device) -> Frequencies, where `length` is how
many positions are looked at now."""


def frequencies(
    config: ModelConfig, length: int, device: torch.device | None = None
) -> Frequencies:
    """Frequencies of a model for sequences of `length` positions."""
    rope = config.rope
    original = rope.original_len or config.max_seq_len
    return SCALINGS[rope.scaling](rope, config.head_size, original, length, device)


class Rotation(NamedTuple):
    """cos and sin of every position, float32 [B or 1, T, 1, head_size]."""

    cos: Tensor
    sin: Tensor


def rotation(config: ModelConfig, positions: Tensor, length: int) -> Rotation:
    """The rotation of whole-number `positions` [B or 1, T]."""
    inverse, magnitude = frequencies(config, length, positions.device)
    angles = positions[..., None].float() * inverse
    angles = torch.cat((angles, angles), dim=-1)[:, :, None, :]
    return Rotation(angles.cos() * magnitude, angles.sin() * magnitude)


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Turn heads [B, T, heads, head_size] by their positions; in float32, returned in x's type.

    Pairs are (i, i + head_size / 2), the layout of Hugging Face's weights.
    """
    wide = x.float()
    low, high = wide.chunk(2, dim=-1)
    turned = torch.cat((-high, low), dim=-1)
    return (wide * by.cos + turned * by.sin).to(x.dtype)
