"""Root mean square normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """y = weight * x / sqrt(mean(x^2) + eps) over the last axis (Zhang and Sennrich, arXiv
    1910.07467), reduced in float32 and returned in the input's type."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., dim]."""
        return rms_norm(x, self.weight, self.eps)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """See `RMSNorm`: x [..., dim], weight [dim] -> [..., dim]."""
    if x.dtype == torch.float32:
        return functional.rms_norm(x, weight.shape, weight, eps)
    # Rounded before the weight is applied, as LlamaRMSNorm of transformers does.
    return functional.rms_norm(x.float(), weight.shape, None, eps).to(x.dtype) * weight
