"""Expert parallelism: each rank holds some experts of every layer, and tokens travel to them.

Two all-to-all exchanges a layer, as in GShard (arXiv 2006.16668, section 3.2), of as many rows as
there are: no token is dropped and none is padded. The ranks also hold other tokens: the experts'
gradients are complete over them as they are, and are summed over the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Shard, distribute_tensor

from model.decoder import Decoder
from model.experts import Experts
from model.moe import ExpertExchange
from training.parallel.collectives import sum_of_gradients, sum_of_parts

HIDDEN_AXIS = {"gate_proj": 1, "up_proj": 1, "down_proj": 2}
"""Which axis of an expert weight is its hidden width: tensor parallelism cuts there."""

MODEL_AXIS = {"gate_proj": 2, "up_proj": 2, "down_proj": 1}
"""Which is the model's width: FSDP cuts there, where neither experts nor tp do."""


class _AllToAll(torch.autograd.Function):
    """Rows by destination -> rows by source; backward they travel back."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, received: list[int], sent: list[int], group: dist.ProcessGroup
    ) -> Tensor:
        ctx.splits = received, sent, group
        return _all_to_all(x, received, sent, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        received, sent, group = ctx.splits
        return _all_to_all(gradients[0], sent, received, group), None, None, None


def _all_to_all(
    x: Tensor, received: list[int], sent: list[int], group: dist.ProcessGroup
) -> Tensor:
    out = x.new_empty(sum(received), *x.shape[1:])
    dist.all_to_all_single(out, x.contiguous(), received, sent, group=group)
    return out


class RankExchange(ExpertExchange):
    """Tokens to the ranks that hold their experts and back. Rank r of ep holds experts r E / ep to
    (r + 1) E / ep - 1."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        super().__init__()
        self.group = group

    # How many rows travel is known only as they do: torch would cut this into ten graphs and more,
    # and compile them anew for other numbers.
    @torch.compiler.disable
    def forward(self, tokens: Tensor, counts: Tensor, experts: Experts) -> Tensor:
        """See `ExpertExchange.forward`. Waits for the device, to learn how much travels."""
        size = self.group.size()
        arriving = torch.empty_like(counts)
        dist.all_to_all_single(arriving, counts.contiguous(), group=self.group)
        by_source = arriving.view(size, -1)
        sent = counts.view(size, -1).sum(dim=1).tolist()
        received = by_source.sum(dim=1).tolist()
        there = cast(Tensor, _AllToAll.apply(tokens, received, sent, self.group))
        # Rows arrive by source, then by expert; the experts want them by expert alone.
        held = torch.arange(by_source.shape[1], device=tokens.device)
        order = held.repeat(size).repeat_interleave(arriving).argsort(stable=True)
        out = experts(there[order], by_source.sum(dim=0))
        return cast(Tensor, _AllToAll.apply(out[order.argsort()], sent, received, self.group))


class HeldExperts(Experts):
    """What a rank holds of a layer's experts: some of them, and with tp a part of their width."""

    tp: dist.ProcessGroup | None

    @classmethod
    def of(cls, experts: Experts, mesh: DeviceMesh) -> HeldExperts:
        """Cut experts over the axes `ep` and `tp` of a mesh; one of them may be missing."""
        held = cls.__new__(cls)
        nn.Module.__init__(held)
        held.kernel = experts.kernel
        axes = mesh.mesh_dim_names or ()
        held.tp = mesh["tp"].get_group() if "tp" in axes else None
        for name, weight in experts.named_parameters():
            cuts: dict[str, Placement] = {"ep": Shard(0), "tp": Shard(HIDDEN_AXIS[name])}
            placed = [cuts[axis] for axis in axes]
            whole = distribute_tensor(weight.detach(), mesh, placed, src_data_rank=None)
            held.register_parameter(name, nn.Parameter(whole))
        return held

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """The local parts of gate, up and down."""
        gate, up, down = super().weights()
        return _local(gate), _local(up), _local(down)

    def forward(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """See `Experts.forward`; `counts` are those of the experts held."""
        if self.tp is None:
            return super().forward(tokens, counts)
        out = super().forward(sum_of_gradients(tokens, self.tp), counts)
        return sum_of_parts(out, self.tp)


def _local(weight: Tensor) -> Tensor:
    return weight.to_local() if isinstance(weight, DTensor) else weight


def apply_expert_parallel(decoder: Decoder, mesh: DeviceMesh) -> None:
    """Cut the experts of a decoder (or a stage of one) over `mesh`: axes `ep`, `tp` or both.

    The weights become DTensors of the names and shapes they had. `ep` divides the experts, `tp`
    their width.
    """
    axes = mesh.mesh_dim_names or ()
    for layer in decoder.moe_layers():
        layer.experts = HeldExperts.of(layer.experts, mesh)
        if "ep" in axes:
            layer.exchange = RankExchange(mesh["ep"].get_group())


def expert_cuts(experts: Experts) -> Callable[[nn.Parameter], Shard]:
    """Where `fully_shard` cuts each weight of a layer's experts: the model's width.

    Experts may be fewer than ranks, and neither `ep` nor `tp` cuts there, so that every rank holds
    one plain block. The ranks have to divide the width.
    """
    axes = {id(weight): MODEL_AXIS[name] for name, weight in experts.named_parameters()}
    return lambda weight: Shard(axes[id(weight)])
