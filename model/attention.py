"""Attention behind one function: who sees whom is one rule, whichever kernel computes it.

A query sees a key of its own document that lies at its position or before it, and within the
window. Positions restart with each document, or run on where documents are not told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional


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
    """Queries and keys are the same tokens, in the order of their positions."""
    derived: dict[object, object] = field(default_factory=dict)

    @property
    def is_plain_causal(self) -> bool:
        """Whether nothing but the order decides."""
        return self.aligned and self.query_documents is None

    def dense(self, window: int | None) -> Tensor:
        """The rule as booleans [B or 1, 1, Tq, Tk]; True where a query sees a key."""
        key = ("dense", window)
        if key not in self.derived:
            self.derived[key] = self._dense(window)
        found = self.derived[key]
        assert isinstance(found, Tensor)
        return found

    def _dense(self, window: int | None) -> Tensor:
        distance = self.query_positions[:, :, None] - self.key_positions[:, None, :]
        seen = distance >= 0
        if window is not None:
            seen = seen & (distance < window)
        if self.query_documents is not None and self.key_documents is not None:
            seen = seen & (self.query_documents[:, :, None] == self.key_documents[:, None, :])
        return seen[:, None]


Kernel = Callable[[Tensor, Tensor, Tensor, Visibility, "int | None", "Tensor | None"], Tensor]


def _sdpa(
    q: Tensor, k: Tensor, v: Tensor, see: Visibility, window: int | None, slopes: Tensor | None
) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    grouped = q.shape[1] != k.shape[1]
    length = k.shape[2]
    if see.is_plain_causal and slopes is None and (window is None or window >= length):
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
    else:
        mask = see.dense(window)
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    return out.transpose(1, 2)


KERNELS: dict[str, Kernel] = {"sdpa": _sdpa}
"""By name: (q, k, v, visibility, window, alibi slopes) -> [B, Tq, H, d]."""


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    see: Visibility,
    *,
    window: int | None = None,
    slopes: Tensor | None = None,
    kernel: str = "auto",
) -> Tensor:
    """softmax(q k' / sqrt(d) + bias) v over the keys that each query sees.

    q [B, Tq, H, d], k and v [B, Tk, K, d] with K dividing H -> [B, Tq, H, d]. `slopes` [H] are
    ALiBi's. `auto` takes the fastest kernel that is exact for the device, type and rule.
    """
    name = best_kernel(q, see) if kernel == "auto" else kernel
    return KERNELS[name](q, k, v, see, window, slopes)


def best_kernel(q: Tensor, see: Visibility) -> str:
    """The name that `auto` stands for."""
    return "sdpa"
