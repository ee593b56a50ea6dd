"""Who sees whom: one rule, from which each attention kernel derives what it needs.

A query sees a key of its own document that lies at its position or before it, and within the
window. Positions restart with each document, or run on where documents are not told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")


@dataclass(eq=False)
class Visibility:
    """Who sees whom in one batch. Kernels keep what they derive from it, for all layers."""

    query_positions: Tensor
    """[B or 1, Tq], whole numbers."""
    key_positions: Tensor
    """[B or 1, Tk]."""
    query_documents: Tensor | None = None
    """[B or 1, Tq]: equal numbers are the same document; None: all is one document."""
    key_documents: Tensor | None = None
    aligned: bool = False
    """Queries and keys are the same tokens, document after document, each in the order of its
    positions, none left out."""
    derived: dict[object, object] = field(default_factory=dict)

    def is_plain_causal(self, window: int | None) -> bool:
        """Whether nothing but the order decides, so that no mask is needed."""
        length = self.key_positions.shape[1]
        whole = window is None or window >= length
        return self.aligned and self.query_documents is None and whole

    def derive(self, key: object, make: Callable[[], T]) -> T:
        """What `make` gives, made once under `key`."""
        if key not in self.derived:
            self.derived[key] = make()
        return self.derived[key]  # type: ignore[return-value]

    def distance(self) -> Tensor:
        """Query's position minus key's, whole numbers [B or 1, 1, Tq, Tk]."""
        return (self.query_positions[:, :, None] - self.key_positions[:, None, :])[:, None]

    def dense(self, window: int | None) -> Tensor:
        """The rule as booleans [B or 1, 1, Tq, Tk]; True where a query sees a key."""
        return self.derive(("dense", window), lambda: self._dense(window))

    def _dense(self, window: int | None) -> Tensor:
        distance = self.distance()
        seen = distance >= 0
        if window is not None:
            seen = seen & (distance < window)
        if self.query_documents is not None and self.key_documents is not None:
            same = self.query_documents[:, :, None] == self.key_documents[:, None, :]
            seen = seen & same[:, None]
        return seen
