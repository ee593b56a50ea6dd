"""Pipeline parallelism: consecutive layers on each rank, one forward and one backward in turn.

The schedule is torch's 1F1B (Narayanan et al., arXiv 2104.04473, section 2.2), with several stages
a rank its interleaved form. Weights keep their names: a stage is a part of the same decoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.distributed.pipelining.schedules import (
    PipelineScheduleMulti,
    PipelineScheduleSingle,
    ScheduleInterleaved1F1B,
    ScheduleLoopedBFS,
)
from torch.distributed.tensor import DTensor

from model.config import ModelConfig
from model.decoder import Decoder, Head
from schemas.errors import UsageError
from training.parallel.batch import Batch

Schedule = PipelineScheduleSingle | PipelineScheduleMulti


def layer_work(shape: ModelConfig) -> int:
    """Multiplications a token of one layer's matrices; experts that are not chosen do not count."""
    heads = 2 * shape.n_heads + 2 * shape.kv_heads
    ffn = 3 * shape.dim * shape.expert_dim
    if shape.moe is not None:
        ffn = (shape.moe.top_k + shape.moe.n_shared) * ffn + shape.dim * shape.moe.n_experts
    return heads * shape.head_size * shape.dim + ffn


def split_layers(shape: ModelConfig, stages: int) -> list[range]:
    """Layers of each stage, so that the slowest has as little work as can be.

    The head counts as its multiplications, the embedding as one layer: the first stage also keeps
    the most micro-batches in memory (as Llama 3, arXiv 2407.21783, section 3.3.2, which takes a
    layer from the first stage and from the last). Every stage has a layer at least.
    """
    layer = layer_work(shape)
    counts = [1] * stages
    work = [layer] * stages
    work[0] += layer
    work[-1] += shape.vocab_size * shape.dim
    for _ in range(shape.n_layers - stages):
        lightest = min(range(stages), key=lambda stage: (work[stage], -stage))
        counts[lightest] += 1
        work[lightest] += layer
    starts = [sum(counts[:stage]) for stage in range(stages)]
    return [range(start, start + count) for start, count in zip(starts, counts, strict=True)]


def stage_parts(shape: ModelConfig, rank: int, ranks: int, each: int = 1) -> list[Decoder]:
    """The parts of a decoder that a pipeline rank holds: stages rank, rank + ranks, ..."""
    layers = split_layers(shape, ranks * each)
    last = len(layers) - 1
    return [
        Decoder(shape, layers=layers[n], with_embedding=n == 0, with_head=n == last)
        for n in range(rank, len(layers), ranks)
    ]


def microbatches_of(batch: Batch, count: int) -> list[Batch]:
    """Parts of consecutive sequences; `count` divides them."""
    columns = ([None] * count if x is None else x.chunk(count) for x in batch)
    return [Batch(*parts) for parts in zip(*columns, strict=True)]


def _share_of_loss(sums: Tensor, _: Tensor, denominator: Tensor, z_loss: float) -> Tensor:
    return (sums[0] + z_loss * sums[1]) / denominator


class Pipelined:
    """Runs batches through the stages of a process group: an `Execution`."""

    def __init__(
        self,
        parts: Sequence[Decoder],
        group: dist.ProcessGroup,
        *,
        microbatches: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`parts` are a rank's stages, see `stage_parts`, already sharded; hidden states between
        stages are of `dtype`."""
        self.parts = list(parts)
        self.group = group
        self.microbatches = microbatches
        self.device = device
        self.dtype = dtype
        self._schedules: dict[tuple[int, ...], Schedule] = {}

    def forward_backward(
        self, batches: Sequence[Batch], denominator: Tensor, z_loss: float
    ) -> Tensor:
        """See `Execution`; every rank gets the sums. Raises UsageError when the micro-batches do
        not divide the sequences."""
        head = self.parts[-1].head
        if isinstance(head, Head):
            head.z_gradient = z_loss != 0
        total = torch.zeros(2, device=self.device)
        for batch in batches:
            sequences = len(batch.tokens)
            if sequences % self.microbatches:
                raise UsageError(
                    f"parallel.pp_microbatches: {self.microbatches} do not divide the {sequences} "
                    "sequences that a rank takes at a time (train.batch_size, train.accumulation)"
                )
            micro = microbatches_of(batch, self.microbatches)
            sums = self._schedule(micro, train=True).step(
                arg_mbs=self._arguments(micro),
                kwarg_mbs=_keywords(micro),
                target_mbs=[one.labels for one in micro],
                loss_kwargs={"denominator": denominator, "z_loss": z_loss},
            )
            total += self._everywhere(sums)
        if self.parts[0].config.tie_embeddings:
            sum_tied_gradients(self.parts, self.group)
        return total

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Tensor:
        """See `Execution`; every rank gets the sums. Batches may have any size."""
        micro = microbatches_of(batch, math.gcd(len(batch.tokens), self.microbatches))
        sums = self._schedule(micro, train=False).eval(
            arg_mbs=self._arguments(micro), kwarg_mbs=_keywords(micro)
        )
        return self._everywhere(sums)

    def _arguments(self, micro: list[Batch]) -> list[tuple[Tensor, ...]]:
        first = self.group.rank() == 0
        return [(one.tokens,) if first else () for one in micro]

    def _everywhere(self, sums: Tensor | None) -> Tensor:
        """Sums [2 * micro-batches] of the rank with the last stage, added up, on all ranks."""
        total = torch.zeros(2, device=self.device)
        if sums is not None:
            total += sums.detach().view(-1, 2).sum(dim=0)
        dist.all_reduce(total, group=self.group)
        return total

    def _schedule(self, micro: list[Batch], train: bool) -> Schedule:
        """The schedule for as many micro-batches of one shape, made when it is first needed."""
        shape = micro[0].tokens.shape
        key = (*shape, len(micro), int(train))
        if key not in self._schedules:
            stages = [self._stage(index, shape, train) for index in range(len(self.parts))]
            loss = _share_of_loss if train else None
            options: dict[str, Any] = {"loss_fn": loss, "scale_grads": False}
            if len(stages) == 1:
                single = Schedule1F1B if train else ScheduleGPipe
                self._schedules[key] = single(stages[0], len(micro), **options)
            else:
                several = ScheduleInterleaved1F1B if train else ScheduleLoopedBFS
                self._schedules[key] = several(list(stages), len(micro), **options)
        return self._schedules[key]

    def _stage(self, index: int, shape: torch.Size, train: bool) -> PipelineStage:
        """Told what goes in and out, torch need not run the stage to find it."""
        part = self.parts[index]
        tokens = torch.empty(shape, dtype=torch.long, device="meta")
        hidden = torch.empty(
            *shape, part.config.dim, dtype=self.dtype, device="meta", requires_grad=train
        )
        sums = torch.empty(2, device="meta", requires_grad=train)
        return PipelineStage(
            part,
            self.group.rank() + index * self.group.size(),
            self.group.size() * len(self.parts),
            self.device,
            input_args=hidden if part.embedding is None else tokens,
            output_args=hidden if part.head is None else sums,
            group=self.group,
        )


def _keywords(micro: list[Batch]) -> list[dict[str, Tensor | None]]:
    names = ("positions", "documents", "labels")
    return [{name: getattr(one, name) for name in names} for one in micro]


def tied_head(parts: Sequence[Decoder]) -> nn.Parameter | None:
    """The head's weight where it is the embedding of another rank."""
    head = parts[-1].head
    if head is None or parts[0].embedding is not None or not parts[0].config.tie_embeddings:
        return None
    return head.weight


def sum_tied_gradients(parts: Sequence[Decoder], group: dist.ProcessGroup) -> None:
    """Give the embedding (first rank) and the tied head (last rank) the sum of both gradients.

    Both start from the same weights and take the same steps, so they stay one parameter. To be
    called once a step, after the gradients of each rank are complete. Both must be laid out alike
    over the other ranks.
    """
    last = group.size() - 1
    if group.rank() not in (0, last) or last == 0:
        return
    tied = parts[0].embedding if group.rank() == 0 else parts[-1].head
    assert tied is not None
    gradient = tied.weight.grad
    assert isinstance(gradient, Tensor)
    gradient = gradient.to_local() if isinstance(gradient, DTensor) else gradient
    own = gradient.contiguous()
    other = torch.empty_like(own)
    peer = last - group.rank()
    for work in dist.batch_isend_irecv(
        [
            dist.P2POp(dist.isend, own, group=group, group_peer=peer),
            dist.P2POp(dist.irecv, other, group=group, group_peer=peer),
        ]
    ):
        work.wait()
    gradient.add_(other)
