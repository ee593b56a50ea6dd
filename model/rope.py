"""Rotary position embedding: angles in float32 from whole positions, never from rounded ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.config import ModelConfig
from model.rope_scaling import SCALINGS, Frequencies


def frequencies(config: ModelConfig, positions: Tensor) -> Frequencies:
    """Frequencies of a model for `positions`, whole numbers of any shape."""
    rope = config.rope
    original = rope.original_len or config.max_seq_len
    return SCALINGS[rope.scaling](rope, config.head_size, original, positions)


class Rotation(NamedTuple):
    """cos and sin of every position, float32 [B or 1, T, 1, head_size]."""

    cos: Tensor
    sin: Tensor


def rotation(config: ModelConfig, positions: Tensor, among: Tensor | None = None) -> Rotation:
    """The rotation of whole-number `positions` [B or 1, T], which are all of the sequences or a
    part of those in `among` [B or 1, T'].

    Computed anew for every batch and held in no buffer: a cast of the model cannot round it. In
    bfloat16 positions 15962 and 15968 are the same number.
    """
    inverse, magnitude = frequencies(config, positions if among is None else among)
    if inverse.ndim > 1:  # of each row, for all of its positions
        inverse = inverse[:, None]
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
