"""What a rank computes on at a time."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Whole numbers [b, T] each: consecutive samples of a step that one data rank holds."""

    tokens: Tensor
    labels: Tensor
    """The token that follows, or -100 where there is no target."""
    positions: Tensor
    documents: Tensor
