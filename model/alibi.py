"""Attention with linear biases (Press et al., arXiv 2108.12409)."""

from __future__ import annotations

import torch
from torch import Tensor


def alibi_slopes(n_heads: int, device: torch.device | None = None) -> Tensor:
    """Slope of each head, float32 [n_heads]: a key at distance n gets -slope * n on its score.

    For p heads, p a power of two, they are 2^(-8 i / p), i from 1 to p (section 3). Other head
    counts take the slopes of the next lower power p and, for the heads that are left, every second
    slope of 2 p, as `get_slopes` of the paper's repository does.
    """
    lower = 1 << (n_heads.bit_length() - 1)
    slopes = _geometric(lower) + _geometric(2 * lower)[::2]
    return torch.tensor(slopes[:n_heads], dtype=torch.float32, device=device)


def _geometric(count: int) -> list[float]:
    return [2.0 ** (-8.0 * i / count) for i in range(1, count + 1)]
