"""torch's scaled dot product attention with a dense mask: the reference, on every device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from model.visibility import Visibility


def sdpa(
    q: Tensor, k: Tensor, v: Tensor, see: Visibility, window: int | None, slopes: Tensor | None
) -> Tensor:
    """See `model.attention.attention`. A query that sees no key gets zeros."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    grouped = q.shape[1] != k.shape[1]
    if slopes is None and see.is_plain_causal(window):
        out = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
    else:
        mask = see.dense(window) if slopes is None else _biases(see, window, slopes)
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    return out.transpose(1, 2)


def prepare_sdpa(see: Visibility, batch: int, window: int | None, slopes: Tensor | None) -> None:
    """See `model.attention.prepare`."""
    if slopes is not None:
        _nearness(see, window)
    elif not see.is_plain_causal(window):
        see.dense(window)


def _biases(see: Visibility, window: int | None, slopes: Tensor) -> Tensor:
    """ALiBi's biases, -inf where nothing is seen: float32 [B or 1, H, Tq, Tk].

    Float32 whatever the queries are: half precision would round distances above 256.
    """
    return slopes[:, None, None] * _nearness(see, window)


def _nearness(see: Visibility, window: int | None) -> Tensor:
    def make() -> Tensor:
        unseen = ~see.dense(window)
        return (-see.distance()).to(torch.float32).masked_fill(unseen, float("-inf"))

    return see.derive(("nearness", window), make)
