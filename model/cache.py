"""Keys and values of the tokens that were seen, for generation."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from model.config import ModelConfig


class LayerCache:
    """Keys and values of one layer: [B, capacity, K, d] each, in memory taken once.

    Type, device and the number of heads are those of the first keys: a layer that computes in
    bfloat16, or holds some heads only, is cached as it is.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add T tokens, [B, T, K, d] each; returns all that are held, [B, length, K, d] each.

        Raises ValueError beyond the capacity.
        """
        if self.keys is None or self.values is None:
            batch, _, heads, size = keys.shape
            self.keys = keys.new_zeros(batch, self.capacity, heads, size)
            self.values = values.new_zeros(batch, self.capacity, heads, size)
        start, end = self.length, self.length + keys.shape[1]
        if end > self.capacity:
            raise ValueError(f"{end} tokens in a cache of {self.capacity}")
        self.keys[:, start:end] = keys
        self.values[:, start:end] = values
        self.length = end
        return self.keys[:, :end], self.values[:, :end]

    def rows(self, rows: Tensor) -> LayerCache:
        """A cache that holds what these rows of this one do."""
        made = LayerCache(self.capacity)
        if self.keys is not None and self.values is not None:
            made.keys, made.values = self.keys[rows], self.values[rows]
        made.length = self.length
        return made

    def grow(self, capacity: int) -> None:
        """Make room for more tokens; what is held stays."""
        self.capacity = capacity
        if self.keys is None or self.values is None:
            return
        keys, values, length = self.keys, self.values, self.length
        batch, _, heads, size = keys.shape
        self.keys = keys.new_zeros(batch, capacity, heads, size)
        self.values = values.new_zeros(batch, capacity, heads, size)
        self.keys[:, :length] = keys[:, :length]
        self.values[:, :length] = values[:, :length]


class KeyValueCache:
    """The caches of all layers, and positions and documents of the tokens in them."""

    def __init__(
        self, config: ModelConfig, batch: int, capacity: int, device: torch.device
    ) -> None:
        self.layers = [LayerCache(capacity) for _ in range(config.n_layers)]
        self.positions = torch.zeros(batch, capacity, dtype=torch.long, device=device)
        self.documents = torch.zeros(batch, capacity, dtype=torch.long, device=device)
        self.length = 0

    def announce(self, positions: Tensor, documents: Tensor) -> tuple[Tensor, Tensor]:
        """Note tokens [B, T] that are about to be added; returns positions and documents of all."""
        start, end = self.length, self.length + positions.shape[1]
        if end > self.positions.shape[1]:
            raise ValueError(f"{end} tokens in a cache of {self.positions.shape[1]}")
        self.positions[:, start:end] = positions
        self.documents[:, start:end] = documents
        self.length = end
        return self.positions[:, :end], self.documents[:, :end]

    def rows(self, rows: Tensor) -> KeyValueCache:
        """A cache of sequences that begin as these rows [B'] of this one do; a row may be named
        more than once. Copies."""
        made = copy.copy(self)
        made.layers = [layer.rows(rows) for layer in self.layers]
        made.positions, made.documents = self.positions[rows], self.documents[rows]
        return made

    def truncate(self, length: int) -> None:
        """Forget all but the first tokens."""
        self.length = length
        for layer in self.layers:
            layer.length = length

    def grow(self, capacity: int) -> None:
        """Make room for so many tokens, where there is less."""
        held = self.positions.shape[1]
        if capacity <= held:
            return
        self.positions = torch.nn.functional.pad(self.positions, (0, capacity - held))
        self.documents = torch.nn.functional.pad(self.documents, (0, capacity - held))
        for layer in self.layers:
            layer.grow(capacity)
