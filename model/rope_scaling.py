"""How rotary frequencies are stretched to contexts longer than those of training.

Each rule equals its namesake in transformers' `modeling_rope_utils.ROPE_INIT_FUNCTIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from model.config import RopeConfig


class Frequencies(NamedTuple):
    """What turns a position into a rotation."""

    inverse: Tensor
    """Radians a position of each pair, float32 [head_size / 2]; where they depend on the row of
    positions, [B, head_size / 2]."""
    magnitude: float
    """Factor on cos and sin."""


Scaling = Callable[[RopeConfig, int, int, Tensor], Frequencies]
"""(rope, head_size, original_len, positions) -> Frequencies."""


def _exponents(size: int, device: torch.device) -> Tensor:
    return torch.arange(0, size, 2, dtype=torch.float32, device=device) / size


def _none(rope: RopeConfig, size: int, original: int, positions: Tensor) -> Frequencies:
    return Frequencies(1.0 / rope.theta ** _exponents(size, positions.device), 1.0)


def _linear(rope: RopeConfig, size: int, original: int, positions: Tensor) -> Frequencies:
    """Position interpolation (Chen et al., arXiv 2306.15595)."""
    plain = _none(rope, size, original, positions)
    return Frequencies(plain.inverse / rope.factor, 1.0)


def ntk_theta(rope: RopeConfig, size: int) -> float:
    """The base that stretches the slowest pair by `factor` and leaves the fastest one as it is
    ("NTK-aware" interpolation: Peng et al., arXiv 2309.00071, section 3.1)."""
    return rope.theta * rope.factor ** (size / (size - 2))


def _ntk(rope: RopeConfig, size: int, original: int, positions: Tensor) -> Frequencies:
    inverse = 1.0 / ntk_theta(rope, size) ** _exponents(size, positions.device)
    return Frequencies(inverse, 1.0)


def _dynamic(rope: RopeConfig, size: int, original: int, positions: Tensor) -> Frequencies:
    """The NTK base of the length at hand (same paper, section 3.3, "dynamic scaling").

    The length of a row is its highest position + 1, so all positions of a sequence must be looked
    at together: positions [B, T] give frequencies [B, size / 2]. Nothing changes up to `original`
    positions; beyond, each length turns all keys anew and no cache of them is exact.
    """
    length = (positions.amax(dim=-1, keepdim=True) + 1).clamp_min(original)
    stretch = rope.factor * length / original - (rope.factor - 1)
    theta = rope.theta * stretch ** (size / (size - 2))
    return Frequencies(1.0 / theta ** _exponents(size, positions.device), 1.0)


def _pair_of_turns(turns: float, theta: float, size: int, original: int) -> float:
    """Which pair turns so often over the original context (same paper, section 3.2)."""
    return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))


def yarn_magnitude(factor: float) -> float:
    """YaRN's factor on cos and sin (same paper, equation 22; 1 where nothing is stretched)."""
    return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn(rope: RopeConfig, size: int, original: int, positions: Tensor) -> Frequencies:
    """Fast pairs stay, slow ones are interpolated, with a linear ramp between them (same paper,
    section 3.2: "NTK-by-parts")."""
    device = positions.device
    low = max(math.floor(_pair_of_turns(rope.beta_fast, rope.theta, size, original)), 0)
    high = min(math.ceil(_pair_of_turns(rope.beta_slow, rope.theta, size, original)), size - 1)
    width = (high - low) or 0.001
    pairs = torch.arange(size // 2, dtype=torch.float32, device=device)
    keep = 1.0 - ((pairs - low) / width).clamp(0, 1)
    wavelengths = rope.theta ** _exponents(size, device)
    inverse = (1.0 / (rope.factor * wavelengths)) * (1 - keep) + (1.0 / wavelengths) * keep
    magnitude = yarn_magnitude(rope.factor) if rope.attn_factor is None else rope.attn_factor
    return Frequencies(inverse, magnitude)


def _llama3(rope: RopeConfig, size: int, original: int, positions: Tensor) -> Frequencies:
    """Llama 3.1's `apply_scaling` (llama-models, models/llama3/model.py)."""
    plain = _none(rope, size, original, positions).inverse
    wavelengths = 2 * math.pi / plain
    slow = wavelengths > original / rope.low_freq_factor
    fast = wavelengths < original / rope.high_freq_factor
    keep = (original / wavelengths - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    blended = (1 - keep) * plain / rope.factor + keep * plain
    inverse = torch.where(slow, plain / rope.factor, torch.where(fast, plain, blended))
    return Frequencies(inverse, 1.0)


SCALINGS: dict[str, Scaling] = {
    "none": _none,
    "linear": _linear,
    "ntk": _ntk,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "llama3": _llama3,
}
"""By the name that `RopeConfig.scaling` holds."""
