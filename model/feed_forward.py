"""The dense feed-forward network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from model.config import ModelConfig


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig, hidden_dim: int | None = None) -> None:
        super().__init__()
        hidden, bias = hidden_dim or config.hidden_dim, config.mlp_bias
        self.gate_proj = nn.Linear(config.dim, hidden, bias=bias)
        self.up_proj = nn.Linear(config.dim, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden, config.dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., dim]."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
