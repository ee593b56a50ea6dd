"""torch's FlexAttention: any rule, in blocks, without a mask of all pairs.

For CUDA, where it is compiled. On the CPU it runs uncompiled, forward alone, and serves tests.
Not run on CUDA by the tests of this repository.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from model.visibility import Visibility

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


def flex(
    q: Tensor, k: Tensor, v: Tensor, see: Visibility, window: int | None, slopes: Tensor | None
) -> Tensor:
    """See `model.attention.attention`. A query that sees no key gets zeros."""
    # Imported here: it costs most of a second.
    from torch.nn.attention.flex_attention import flex_attention

    mask = _mask(see, window)
    run: Any = _compiled(flex_attention) if q.is_cuda else flex_attention
    out: Tensor = run(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        score_mod=None if slopes is None else _alibi(see, slopes),
        block_mask=mask,
        enable_gqa=q.shape[2] != k.shape[2],
    )
    return out.transpose(1, 2)


def prepare_flex(see: Visibility, batch: int, window: int | None, slopes: Tensor | None) -> None:
    """See `model.attention.prepare`."""
    _mask(see, window)


def _mask(see: Visibility, window: int | None) -> BlockMask:
    return see.derive(("flex", window), lambda: _block_mask(see, window))


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


Row = Callable[[Tensor], Tensor]


def _row(values: Tensor) -> Row:
    """Which row of [B or 1, T] belongs to batch index b."""
    return (lambda b: b) if values.shape[0] > 1 else (lambda b: torch.zeros_like(b))


def _block_mask(see: Visibility, window: int | None) -> BlockMask:
    from torch.nn.attention.flex_attention import create_block_mask

    queries, keys = see.query_positions, see.key_positions
    documents = (see.query_documents, see.key_documents)
    rows = max(x.shape[0] for x in (queries, keys, *documents) if x is not None)
    of_query, of_key = _row(queries), _row(keys)
    together = _same_document(*documents)

    def seen(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        distance = queries[of_query(b), i] - keys[of_key(b), j]
        sees = distance >= 0
        if window is not None:
            sees = sees & (distance < window)
        return sees if together is None else sees & together(b, i, j)

    build: Any = _compiled(create_block_mask) if queries.is_cuda else create_block_mask
    batch = rows if rows > 1 else None
    mask: BlockMask = build(
        seen, batch, None, queries.shape[1], keys.shape[1], device=queries.device
    )
    return mask


def _same_document(
    own: Tensor | None, other: Tensor | None
) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    if own is None or other is None:
        return None
    of_own, of_other = _row(own), _row(other)
    return lambda b, i, j: own[of_own(b), i] == other[of_other(b), j]


def _alibi(see: Visibility, slopes: Tensor) -> Callable[..., Tensor]:
    queries, keys = see.query_positions, see.key_positions
    of_query, of_key = _row(queries), _row(keys)

    def biased(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return score - slopes[h] * (queries[of_query(b), i] - keys[of_key(b), j])

    return biased
