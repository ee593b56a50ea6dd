"""The model as a trainer sees it, on one process or on many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

from model.config import ModelConfig
from model.decoder import Decoder
from model.moe import MoE
from schemas.errors import UsageError
from training.config import TrainingConfig
from training.parallel import gradients, weights
from training.parallel.batch import Batch
from training.parallel.context import context_part
from training.parallel.dims import ParallelDims
from training.parallel.execution import Execution
from training.parallel.mesh import Meshes
from training.parallel.pipeline import tied_head
from training.parallel.plan import lay_out


@dataclass(frozen=True)
class ParallelModel:
    """Parts of a decoder and how they run together with those of other ranks."""

    dims: ParallelDims
    device: torch.device
    meshes: Meshes | None
    """None without a process group: one process, alone."""
    parts: tuple[Decoder, ...]
    """Modules with the parameters held here, under the names they have in a whole decoder."""
    execution: Execution

    @classmethod
    def build(
        cls,
        shape: ModelConfig,
        config: TrainingConfig,
        dims: ParallelDims,
        device: torch.device,
    ) -> ParallelModel:
        """A model whose weights are drawn from `config.seed`, never whole on one rank.

        Every rank calls it. Raises UsageError if the process group has another size.
        """
        running = distributed.get_world_size() if distributed.is_initialized() else 1
        if running != dims.world_size:
            raise UsageError(
                f"parallel: laid out for {dims.world_size} ranks, but {running} are running; "
                "start them with torchrun"
            )
        meshes = Meshes.of(dims, device.type) if distributed.is_initialized() else None
        parts, execution = lay_out(shape, config, dims, meshes, device)
        for part in parts:
            weights.initialize(part, shape, config.seed)
        return cls(dims, device, meshes, parts, execution)

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Name and parameter of all that is held here."""
        return [item for part in self.parts for item in part.named_parameters()]

    def forward_backward(
        self,
        batches: Sequence[Batch],
        denominator: Tensor | float,
        z_loss: float,
        tokens: Tensor | float | None = None,
    ) -> Tensor:
        """Run the micro-batches of this rank: local sums [2], see `model.decoder.Head`.

        Gradients of (cross-entropy + z_loss * squares) / denominator are added to `.grad`, summed
        over ranks; `denominator` counts the targets of the whole step. The losses of sparse layers,
        which are sums over all tokens but padding, are divided by `tokens`, the number of these in
        the whole step; by default every one is a target.
        """
        denominator = torch.as_tensor(denominator, dtype=torch.float32, device=self.device)
        tokens = denominator if tokens is None else tokens
        share = 1 / torch.as_tensor(tokens, dtype=torch.float32, device=self.device)
        for layer in self.moe_layers():
            layer.loss_scale.copy_(share)
        return self.execution.forward_backward(
            [self._context_part(batch) for batch in batches], denominator, z_loss
        )

    def evaluate(self, batch: Batch) -> Tensor:
        """Local sums [2] of a batch, without gradients. Every rank has to take part."""
        return self.execution.evaluate(self._context_part(batch))

    def _context_part(self, batch: Batch) -> Batch:
        if self.meshes is None or self.meshes.cp is None:
            return batch
        return context_part(batch, self.meshes.cp.get_group())

    def moe_layers(self) -> Iterator[MoE]:
        """The sparse layers held here."""
        return itertools.chain.from_iterable(part.moe_layers() for part in self.parts)

    def clip_grad_norm(self, max_norm: float | None) -> float:
        """The norm of all gradients over all ranks, before they are clipped to `max_norm`."""
        stages = self.meshes.pp.get_group() if self.meshes and self.dims.pp > 1 else None
        parameters = itertools.chain.from_iterable(part.parameters() for part in self.parts)
        return gradients.clip(parameters, max_norm, stages, tied_head(self.parts))

    def reduce_sums(self, sums: Tensor) -> Tensor:
        """`sums`, summed in place over the ranks that hold other tokens."""
        if self.meshes is not None and self.meshes.loss.size() > 1:
            distributed.all_reduce(sums, group=self.meshes.loss.get_group())
        return sums

    @property
    def data_rank(self) -> int:
        """Which of `dims.data_ranks` parts of a step's samples belongs here."""
        return 0 if self.meshes is None else self.meshes.data_rank

    @property
    def context_rank(self) -> int:
        """Which part of each sequence belongs here."""
        cp = None if self.meshes is None else self.meshes.cp
        return 0 if cp is None else cp.get_local_rank()

    def full_parameter(self, name: str) -> Tensor:
        """The whole parameter, detached, on every rank. Every rank has to ask for the same."""
        parameter = dict(self.named_parameters())[name].detach()
        return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter

    def load_state(self, whole: Callable[[str], Tensor]) -> None:
        """Set all weights from whole tensors by name. Raises InputError for another shape."""
        for part in self.parts:
            weights.load(part, whole)
