"""Attention of packed documents on a CPU, in float32, over the keys that can be seen alone.

torch's CPU kernel computes scores over the whole row where a mask is given. Here queries go through
in blocks of neighbours; a block multiplies the keys from the first one that any of its queries sees
up to its own last one, so documents, windows and order save their products. Heads that share keys
are rows of one matrix. The backward pass makes probabilities anew, as FlashAttention does (Dao et
al., arXiv 2205.14135, algorithm 4).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.visibility import Visibility

BLOCK = 64
"""Queries that go through together: of 32, 64 and 128 the fastest, or close to it."""


class Block(NamedTuple):
    """Queries `first` to `end` over keys `key` to `end`."""

    first: int
    key: int
    end: int
    hidden: Tensor
    """[end - first, 1, end - masked]: True where a query does not see a key from `masked` on."""
    masked: int
    """Keys before it are seen by all queries of the block."""


def blocks(see: Visibility, window: int | None) -> list[list[Block]]:
    """The blocks of each row of the batch, or of one row that stands for all."""
    length = see.key_positions.shape[1]
    index = torch.arange(length, device=see.key_positions.device)
    documents = see.key_documents
    starts = torch.zeros(1, length, dtype=torch.long, device=index.device)
    if documents is not None:
        fresh = documents[:, 1:] != documents[:, :-1]
        starts = starts.expand(len(documents), -1).clone()
        starts[:, 1:] = torch.where(fresh, index[1:], 0)
        starts = starts.cummax(dim=1).values
    if window is not None:
        starts = torch.maximum(starts, index - window + 1)
    return [_of_row(row, index) for row in starts]


def _of_row(starts: Tensor, index: Tensor) -> list[Block]:
    """`starts` [T] is the first key that each query sees; it never falls."""
    found = []
    firsts = starts.tolist()
    for first in range(0, len(firsts), BLOCK):
        end = min(first + BLOCK, len(firsts))
        key = firsts[first]
        masked = first if firsts[end - 1] == key else key
        keys, queries = index[masked:end], index[first:end, None]
        hidden = (keys > queries) | (keys < starts[first:end, None])
        found.append(Block(first, key, end, hidden[:, None], masked))
    return found


def blocked(
    q: Tensor, k: Tensor, v: Tensor, see: Visibility, window: int | None, slopes: Tensor | None
) -> Tensor:
    """See `model.attention.attention`. Queries must be their keys (`see.aligned`), without ALiBi:
    raises ValueError otherwise."""
    if not see.aligned or slopes is not None:
        raise ValueError("blocked attention is of queries with their own keys, without slopes")
    out: Tensor = _Blocked.apply(q, k, v, _derived(see, window))
    return out


def prepare_blocked(see: Visibility, batch: int, window: int | None, slopes: Tensor | None) -> None:
    """Derive the blocks."""
    _derived(see, window)


def _derived(see: Visibility, window: int | None) -> list[list[Block]]:
    return see.derive(("blocks", window), lambda: blocks(see, window))


class _Blocked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, rows: list[list[Block]]) -> Tensor:
        kv_heads = k.shape[2]
        queries = _by_key_head(q, kv_heads)
        queries = queries * q.shape[-1] ** -0.5
        keys, values = _by_key_head(k, kv_heads), _by_key_head(v, kv_heads)
        group = q.shape[2] // kv_heads
        out = torch.empty_like(queries)
        for heads, block in _work(rows, len(queries)):
            r, c = slice(block.first * group, block.end * group), slice(block.key, block.end)
            p = _probabilities(queries[heads, r], keys[heads, c], block)
            out[heads, r] = torch.bmm(p, values[heads, c])
        ctx.rows = rows
        ctx.shape = q.shape
        ctx.save_for_backward(queries, keys, values, out)
        return _by_token(out, q.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, out = ctx.saved_tensors
        batch, length, heads_q, size = ctx.shape
        kv_heads, group = len(keys) // batch, heads_q // (len(keys) // batch)
        d_out = _by_key_head(gradients[0], kv_heads)
        delta = (d_out * out).sum(dim=-1, keepdim=True)
        d_queries = torch.empty_like(queries)
        d_keys, d_values = torch.zeros_like(keys), torch.zeros_like(values)
        for heads, block in _work(ctx.rows, len(queries)):
            r, c = slice(block.first * group, block.end * group), slice(block.key, block.end)
            p = _probabilities(queries[heads, r], keys[heads, c], block)
            d_values[heads, c].baddbmm_(p.mT, d_out[heads, r])
            d_scores = torch.bmm(d_out[heads, r], values[heads, c].mT)
            d_scores.sub_(delta[heads, r]).mul_(p)
            d_queries[heads, r] = torch.bmm(d_scores, keys[heads, c])
            d_keys[heads, c].baddbmm_(d_scores.mT, queries[heads, r])
        d_queries.mul_(size**-0.5)
        shape = (batch, length, kv_heads, size)
        return (
            _by_token(d_queries, ctx.shape),
            _by_token(d_keys, shape),
            _by_token(d_values, shape),
            None,
        )


def _work(rows: list[list[Block]], heads: int) -> list[tuple[slice, Block]]:
    """Every block with the heads of keys [B * K] that it is for."""
    each = heads // len(rows)
    return [
        (slice(number * each, (number + 1) * each), block)
        for number, row in enumerate(rows)
        for block in row
    ]


def _probabilities(queries: Tensor, keys: Tensor, block: Block) -> Tensor:
    """queries [h, n * G, d], keys [h, m, d] -> [h, n * G, m]."""
    scores = torch.bmm(queries, keys.mT)
    by_query = scores.unflatten(1, (block.end - block.first, -1))
    by_query[..., block.masked - block.key :].masked_fill_(block.hidden, float("-inf"))
    return torch.softmax(scores, dim=-1, out=scores)


def _by_key_head(x: Tensor, kv_heads: int) -> Tensor:
    """[B, T, K * G, d] -> [B * K, T * G, d], in memory of its own order."""
    batch, length, heads, size = x.shape
    grouped = x.reshape(batch, length, kv_heads, heads // kv_heads, size).transpose(1, 2)
    return grouped.reshape(batch * kv_heads, -1, size)


def _by_token(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """[B * K, T * G, d] -> [B, T, K * G, d]."""
    batch, length, heads, size = shape
    grouped = x.view(batch, -1, length, heads * batch // len(x), size)
    return grouped.transpose(1, 2).reshape(shape)
