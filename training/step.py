"""One optimizer step: sums of the loss, gradients, and whether to take the step at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from model.cross_entropy import IGNORED
from model.moe import MoE
from training.config import TrainingConfig
from training.optim import Optimizers, SpikeGuard, WeightAverage, learning_rate
from training.parallel.batch import Batch
from training.parallel.model import ParallelModel

Skipped = Literal["", "not_finite", "spike"]


@dataclass(frozen=True)
class StepResult:
    """What one step came to, over all ranks."""

    loss: float
    """Cross-entropy, nats a target."""
    z_loss: float
    """The z-term with its coefficient, nats a target."""
    targets: int
    places: int
    """Places that were computed, padding among them."""
    grad_norm: float
    """Before clipping."""
    lr: float
    skipped: Skipped = ""


class StepHook(Protocol):
    """What takes part in a step. Every rank calls each of them, in step."""

    def before_forward(self, number: int) -> None:
        """Step `number` begins."""

    def after_backward(self, number: int) -> None:
        """Gradients are there, summed over ranks, not yet clipped."""

    def after_step(self, number: int) -> None:
        """Weights were updated, their average not yet; not called where the step was skipped."""


class Step:
    """Takes the steps of a run. Every rank comes to the same decisions, from reduced numbers."""

    def __init__(
        self,
        config: TrainingConfig,
        parallel: ParallelModel,
        optimizer: Optimizers,
        average: WeightAverage | None,
        guard: SpikeGuard,
        hooks: Sequence[StepHook] = (),
    ) -> None:
        self.config = config
        self.parallel = parallel
        self.optimizer = optimizer
        self.average = average
        self.guard = guard
        self.hooks = hooks

    def take(self, number: int, batches: Sequence[Batch]) -> StepResult:
        """Step `number`, counted from 1, on this rank's micro-batches."""
        train, optimizer = self.config.train, self.config.optimizer
        factor = learning_rate(self.config.schedule, train.steps, number - 1)
        targets, places, tokens = self._count(batches)
        shared = max(targets, 1)
        self.optimizer.zero_grad()
        for hook in self.hooks:
            hook.before_forward(number)
        for layer in self._sparse_layers():
            layer.load.zero_()
        local = self.parallel.forward_backward(
            batches, float(shared), train.z_loss, float(max(tokens, 1))
        )
        for hook in self.hooks:
            hook.after_backward(number)
        cross_entropy, z = self.parallel.reduce_sums(local.double()).tolist()
        norm = self.parallel.clip_grad_norm(optimizer.clip_norm)
        loss = cross_entropy / shared
        skipped = self._reason_to_skip(loss, norm)
        if not skipped:
            self.optimizer.step(factor)
            self._balance_experts()
            for hook in self.hooks:
                hook.after_step(number)
            if self.average is not None:
                self.average.update()
        lr = optimizer.lr * factor
        return StepResult(loss, train.z_loss * z / shared, targets, places, norm, lr, skipped)

    def _count(self, batches: Sequence[Batch]) -> tuple[int, int, int]:
        """Targets, places and tokens that are no padding, of the whole step."""
        targets = sum(int((batch.labels != IGNORED).sum()) for batch in batches)
        places = sum(batch.labels.numel() for batch in batches)
        tokens = sum(batch.real_tokens for batch in batches)
        counts = torch.tensor(
            [targets, places, tokens], dtype=torch.long, device=self.parallel.device
        )
        # Ranks that share a sequence all hold its labels here.
        whole = self.parallel.reduce_sums(counts) // self.parallel.dims.cp
        targets, places, tokens = whole.tolist()
        return targets, places, tokens

    def _sparse_layers(self) -> Iterator[MoE]:
        return (layer for part in self.parallel.parts for layer in part.moe_layers())

    def _balance_experts(self) -> None:
        """Move the bias of each router against the load of this step, counted over all ranks."""
        for layer in self._sparse_layers():
            if layer.choice_bias is not None:
                layer.update_bias(self.parallel.reduce_sums(layer.load))

    def _reason_to_skip(self, loss: float, norm: float) -> Skipped:
        accepted = self.guard.accept(loss, norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return "not_finite"
        return "" if accepted else "spike"
