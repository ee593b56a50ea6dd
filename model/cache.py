"""Keys and values of the tokens that were seen, for generation."""

from __future__ import annotations

import torch
from torch import Tensor

from model.config import ModelConfig


class LayerCache:
    """Keys and values of one layer, in memory taken once: [B, capacity, K, d] each."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add T tokens; returns all that are held, [B, length, K, d] each."""
        start, end = self.length, self.length + keys.shape[1]
        if end > self.keys.shape[1]:
            raise ValueError(f"{end} tokens in a cache of {self.keys.shape[1]}")
        self.keys[:, start:end] = keys
        self.values[:, start:end] = values
        self.length = end
        return self.keys[:, :end], self.values[:, :end]


class KeyValueCache:
    """The caches of all layers, and positions and documents of the tokens in them."""

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        shape = (batch, capacity, config.kv_heads, config.head_size)
        self.layers = [LayerCache(shape, dtype, device) for _ in range(config.n_layers)]
        self.positions = torch.zeros(batch, capacity, dtype=torch.long, device=device)
        self.documents = torch.zeros(batch, capacity, dtype=torch.long, device=device)
        self.length = 0

    def announce(self, positions: Tensor, documents: Tensor) -> tuple[Tensor, Tensor]:
        """Note tokens [B, T] that are about to be added; returns positions and documents of all."""
        start, end = self.length, self.length + positions.shape[1]
        self.positions[:, start:end] = positions
        self.documents[:, start:end] = documents
        self.length = end
        return self.positions[:, :end], self.documents[:, :end]
