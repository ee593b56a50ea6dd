"""Places in front of every sequence that are no tokens of it, as the decoder sees them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.cache import KeyValueCache
from model.visibility import Visibility


class VirtualTokens(nn.Module):
    """`count` places at positions 0 to count - 1, of the document of their row: a row holds one
    document, and padding. They are embeddings that go through the layers, or without embeddings
    keys that the layers' `KeyValueExchange` puts before the others."""

    embeddings: nn.Parameter | None

    def __init__(self, count: int, dim: int | None) -> None:
        super().__init__()
        self.count = count
        embeddings = None if dim is None else nn.Parameter(torch.zeros(count, dim))
        self.register_parameter("embeddings", embeddings)

    @property
    def cached(self) -> int:
        """Places of a cache that they take."""
        return 0 if self.embeddings is None else self.count

    def precede(
        self,
        hidden: Tensor,
        positions: Tensor | None,
        documents: Tensor | None,
        cache: KeyValueCache | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Embedded tokens [B, T, dim] with their positions and documents [B or 1, T] or None ->
        the same of what the layers get, [B, count + T, dim] where the embeddings are not yet in
        the cache."""
        first = cache is None or cache.length == 0
        if positions is None:
            past = 0 if cache is None or first else cache.length - self.cached
            positions = torch.arange(past, past + hidden.shape[1], device=hidden.device)[None]
        positions = positions + self.count
        if self.embeddings is None or not first:
            return hidden, positions, documents
        own = self.embeddings.to(hidden.dtype).expand(len(hidden), -1, -1)
        positions = torch.cat((self._places(positions), positions), dim=1)
        if documents is not None:
            documents = torch.cat((self._document(documents), documents), dim=1)
        return torch.cat((own, hidden), dim=1), positions, documents

    def seen(self, see: Visibility) -> Visibility:
        """Who sees whom with the keys in front."""
        if self.embeddings is not None:
            return see
        keys = torch.cat((self._places(see.key_positions), see.key_positions), dim=1)
        documents = see.key_documents
        if documents is not None:
            assert see.query_documents is not None
            documents = torch.cat((self._document(see.query_documents), documents), dim=1)
        return Visibility(see.query_positions, keys, see.query_documents, documents)

    def _places(self, like: Tensor) -> Tensor:
        return torch.arange(self.count, device=like.device).expand(len(like), -1)

    def _document(self, documents: Tensor) -> Tensor:
        """Padding has a number below 0."""
        return documents.amax(dim=1, keepdim=True).expand(-1, self.count)
