"""Pipeline parallelism: consecutive layers on each rank, one forward and one backward in turn.

The schedule is torch's 1F1B (Narayanan et al., arXiv 2104.04473, section 2.2), with several stages
a rank its interleaved form. Weights keep their names: a stage is a part of the same decoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

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
from model.decoder import Decoder
from schemas.errors import UsageError

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
    layer from the first stage and from the last). Every stage has a layer at least: raises
    UsageError when there are not enough.
    """
    if stages > shape.n_layers:
        raise UsageError(
            f"parallel.pp: {stages} stages of a model of {shape.n_layers} layers; each needs one"
        )
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


class Inputs(NamedTuple):
    """A batch of one rank; all [B, T], positions and documents also [1, T]."""

    tokens: Tensor
    positions: Tensor | None
    documents: Tensor | None
    labels: Tensor

    def split(self, count: int) -> list[Inputs]:
        """Micro-batches of consecutive sequences."""
        size = self.tokens.shape[0] // count
        return [
            Inputs(*(_rows(x, slice(n * size, (n + 1) * size)) for x in self))  # type: ignore[arg-type]
            for n in range(count)
        ]


def _rows(x: Tensor | None, rows: slice) -> Tensor | None:
    return x if x is None or x.shape[0] == 1 else x[rows]


def _share_of_loss(sums: Tensor, _: Tensor, denominator: float | Tensor, z_loss: float) -> Tensor:
    return (sums[0] + z_loss * sums[1]) / denominator


class Pipeline:
    """Runs batches through the stages of a process group; all its ranks call alike."""

    def __init__(
        self,
        parts: Sequence[nn.Module],
        shape: ModelConfig,
        group: dist.ProcessGroup,
        *,
        microbatches: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """`parts` are a rank's stages, see `stage_parts`, as they are to be called; `dtype` is that
        of hidden states between them."""
        self.parts = list(parts)
        self.shape = shape
        self.group = group
        self.microbatches = microbatches
        self.device = device
        self.dtype = dtype
        self._schedules: dict[tuple[int, ...], Schedule] = {}
        if microbatches < group.size():
            raise UsageError(
                f"parallel.pp_microbatches: {microbatches} are fewer than the {group.size()} "
                "stages (parallel.pp), which would never all work"
            )

    def forward_backward(
        self, inputs: Inputs, denominator: float | Tensor, z_loss: float = 0.0
    ) -> Tensor:
        """Add the gradients of (sums[0] + z_loss sums[1]) / denominator; returns the sums [2].

        Raises UsageError when the micro-batches do not divide the sequences.
        """
        count = inputs.tokens.shape[0]
        if count % self.microbatches:
            raise UsageError(
                f"parallel.pp_microbatches: {self.microbatches} do not divide the {count} "
                "sequences that a rank takes at a time (train.batch_size, train.accumulation)"
            )
        options = {"loss_kwargs": {"denominator": denominator, "z_loss": z_loss}}
        return self._run(inputs, self.microbatches, True, options)

    @torch.no_grad()
    def evaluate(self, inputs: Inputs) -> Tensor:
        """Sums [2] of a batch of any size, without gradients."""
        count = math.gcd(inputs.tokens.shape[0], self.microbatches)
        return self._run(inputs, count, False, {})

    def _run(self, inputs: Inputs, count: int, train: bool, options: dict[str, Any]) -> Tensor:
        micro = inputs.split(count)
        schedule = self._schedule(*micro[0].tokens.shape, count, train)
        first = self.group.rank() == 0
        arguments = {
            "arg_mbs": [(one.tokens,) if first else () for one in micro],
            "kwarg_mbs": [
                {"positions": one.positions, "documents": one.documents, "labels": one.labels}
                for one in micro
            ],
        }
        if train:
            targets = [one.labels for one in micro]
            sums = schedule.step(**arguments, target_mbs=targets, **options)
        else:
            sums = schedule.eval(**arguments)
        # Only the rank of the last stage has them.
        total = torch.zeros(2, device=self.device)
        if sums is not None:
            total += sums.detach().view(-1, 2).sum(dim=0)
        dist.all_reduce(total, group=self.group)
        return total

    def _schedule(self, batch: int, length: int, count: int, train: bool) -> Schedule:
        key = (batch, length, count, int(train))
        if key not in self._schedules:
            stages = [self._stage(n, batch, length, train) for n in range(len(self.parts))]
            self._schedules[key] = _schedule(stages, count, train)
        return self._schedules[key]

    def _stage(self, index: int, batch: int, length: int, train: bool) -> PipelineStage:
        """Told what goes in and out, torch need not run the stage to find it."""
        stages = self.group.size() * len(self.parts)
        number = self.group.rank() + index * self.group.size()
        hidden = torch.empty(
            batch, length, self.shape.dim, dtype=self.dtype, device="meta", requires_grad=train
        )
        tokens = torch.empty(batch, length, dtype=torch.long, device="meta")
        sums = torch.empty(2, device="meta", requires_grad=train)
        return PipelineStage(
            self.parts[index],
            number,
            stages,
            self.device,
            input_args=tokens if number == 0 else hidden,
            output_args=sums if number == stages - 1 else hidden,
            group=self.group,
        )


def _schedule(stages: list[PipelineStage], count: int, train: bool) -> Schedule:
    loss = _share_of_loss if train else None
    if len(stages) == 1:
        single = Schedule1F1B if train else ScheduleGPipe
        return single(stages[0], count, loss_fn=loss, scale_grads=False)
    several = ScheduleInterleaved1F1B if train else ScheduleLoopedBFS
    return several(list(stages), count, loss_fn=loss, scale_grads=False)


def tied_weight(part: nn.Module) -> nn.Parameter | None:
    """The embedding or the head of a stage that has one of the two but not the other."""
    weights = dict(part.named_parameters())
    found = [weights[n] for n in ("embedding.weight", "head.weight") if n in weights]
    return found[0] if len(found) == 1 else None


def sum_tied_gradients(parts: Sequence[nn.Module], group: dist.ProcessGroup) -> None:
    """Give the embedding (first rank) and the tied head (last rank) the sum of both gradients.

    Both start from the same weights and take the same steps, so they stay one parameter. To be
    called once a step, after the gradients of each rank are complete. Both must be laid out alike
    over the other ranks.
    """
    last = group.size() - 1
    if group.rank() not in (0, last) or last == 0:
        return
    weight = tied_weight(parts[0] if group.rank() == 0 else parts[-1])
    assert weight is not None
    assert weight.grad is not None
    gradient = weight.grad.to_local() if isinstance(weight.grad, DTensor) else weight.grad
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
