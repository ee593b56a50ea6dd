"""Context parallelism: each rank holds a part of every sequence and sees the keys of all of it.

Keys and values are gathered from all ranks before attention, as in Llama 3 (arXiv 2407.21783,
section 3.3.2): with grouped-query attention they are small beside the queries' work, and any mask
stays possible, since positions and documents are gathered with them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from model.decoder import Block, Decoder
from model.self_attention import KeyValueExchange
from training.parallel.batch import Batch


def held_tokens(length: int, rank: int, size: int) -> Tensor:
    """Which tokens of a sequence a rank holds: chunks `rank` and 2 size - 1 - rank of 2 size.

    An early chunk and a late one together see as many keys on each rank (arXiv 2407.21783, section
    3.3.2). Int64 [length / size]; `length` is a multiple of 2 size.
    """
    chunks = torch.arange(length).view(2 * size, -1)
    return torch.cat((chunks[rank], chunks[2 * size - 1 - rank]))


def context_part(batch: Batch, group: dist.ProcessGroup) -> Batch:
    """The tokens of each sequence that a rank holds, with their labels, positions and documents."""
    held = held_tokens(batch.tokens.shape[1], group.rank(), group.size())
    held = held.to(batch.tokens.device)

    def part(x: Tensor) -> Tensor:
        return x.index_select(1, held)

    documents = None if batch.documents is None else part(batch.documents)
    return Batch(part(batch.tokens), part(batch.labels), part(batch.positions), documents)


def gather_sequences(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The parts of all ranks [B or 1, T / cp, ...] one behind the other [B or 1, T, ...].

    The order is that of the ranks, not of the positions, for all tensors alike. No gradient.
    """
    x = x.contiguous()
    parts = x.new_empty(group.size(), *x.shape)
    dist.all_gather_into_tensor(parts.flatten(0, 1), x, group=group)
    return parts.transpose(0, 1).flatten(1, 2)


class _Gather(torch.autograd.Function):
    """`gather_sequences`; backward every rank gets the sum of all gradients of its part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return gather_sequences(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        size = ctx.group.size()
        parts = gradient.unflatten(1, (size, -1)).transpose(0, 1).contiguous()
        own = torch.empty_like(parts[0])
        dist.reduce_scatter_tensor(own, parts.flatten(0, 1), group=ctx.group)
        return own, None


class GatheredKeyValues(KeyValueExchange):
    """Keys and values of the whole sequence, in one collective."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        super().__init__()
        self.group = group

    def forward(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T / cp, K, d] twice -> [B, T, K, d] twice."""
        both = cast(Tensor, _Gather.apply(torch.cat((keys, values), dim=2), self.group))
        whole_keys, whole_values = both.chunk(2, dim=2)
        return whole_keys, whole_values


def apply_context_parallel(decoder: Decoder, group: dist.ProcessGroup) -> None:
    """Let a decoder (or a stage of one) work on parts of sequences, held by the ranks of `group`.

    It must be called with positions from then on. Gradients are those of a rank's own tokens: sum
    them over the group.
    """
    for block in decoder.layers.values():
        cast(Block, block).attention.exchange = GatheredKeyValues(group)
    for layer in decoder.moe_layers():
        layer.sequence_group = group
    decoder.gather_keys = lambda x: gather_sequences(x, group)
