"""The attention layer: projections, norms and rotation around `attention`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.attention import attention, prepare
from model.cache import LayerCache
from model.config import ModelConfig
from model.norm import RMSNorm
from model.rope import Rotation, rotate
from model.visibility import Visibility


class Surroundings(NamedTuple):
    """What every layer needs besides the hidden state, computed once a batch."""

    see: Visibility
    rotation: Rotation | None
    slopes: Tensor | None = None
    """ALiBi's, of all heads."""
    kernel: str = "auto"


class KeyValueExchange(nn.Module):
    """Where keys and values pass on their way to attention: here nothing happens to them.

    Context parallelism puts a module in its place that gathers them from all ranks.
    """

    def forward(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, K, d] twice -> [B, T', K, d] twice."""
        return keys, values


class SelfAttention(nn.Module):
    """Grouped-query attention (Ainslie et al., arXiv 2305.13245)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        size, dim = config.head_size, config.dim
        queries, keys = config.n_heads * size, config.kv_heads * size
        self.head_size = size
        self.window = config.window_of(layer)
        self.q_proj = nn.Linear(dim, queries, bias=config.qkv_bias)
        self.k_proj = nn.Linear(dim, keys, bias=config.qkv_bias)
        self.v_proj = nn.Linear(dim, keys, bias=config.qkv_bias)
        self.o_proj = nn.Linear(queries, dim, bias=config.out_bias)
        self.q_norm = RMSNorm(size, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(size, config.norm_eps) if config.qk_norm else None
        self.exchange = KeyValueExchange()
        self.first_head = 0
        """Number of the first head held here: tensor parallelism gives each rank some heads."""

    def prepare(self, x: Tensor, around: Surroundings) -> None:
        """Derive what `forward` with hidden states like x needs of who sees whom, see
        `model.attention.prepare`."""
        dtype = x.dtype
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
        q = x.new_empty((), dtype=dtype).expand(*x.shape[:2], 1, self.head_size)
        prepare(q, around.see, window=self.window, slopes=around.slopes, kernel=around.kernel)

    def forward(self, x: Tensor, around: Surroundings, cache: LayerCache | None = None) -> Tensor:
        """[B, T, dim] -> [B, T, dim]. With a cache, keys and values are added to it first."""
        batch, length, _ = x.shape
        # Heads are counted from the projections' output, which under tensor parallelism is a part.
        q = self.q_proj(x).view(batch, length, -1, self.head_size)
        k = self.k_proj(x).view(batch, length, -1, self.head_size)
        v = self.v_proj(x).view(batch, length, -1, self.head_size)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if around.rotation is not None:
            q, k = rotate(q, around.rotation), rotate(k, around.rotation)
        if cache is not None:
            k, v = cache.append(k, v)
        k, v = self.exchange(k, v)
        slopes = around.slopes
        if slopes is not None:
            slopes = slopes[self.first_head : self.first_head + q.shape[2]]
        out = attention(
            q, k, v, around.see, window=self.window, slopes=slopes, kernel=around.kernel
        )
        return self.o_proj(out.reshape(batch, length, -1))
