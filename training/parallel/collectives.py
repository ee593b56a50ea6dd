"""Sums over the ranks that share a layer, as autograd sees them.

Every rank of the group computes the same loss from the sum, so a gradient is either already the
same on all ranks or has to be summed: Megatron-LM's operators g and f (Shoeybi et al., arXiv
1909.08053, section 3; `core/tensor_parallel/mappings.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed._functional_collectives import all_reduce, wait_tensor


def reduced(x: Tensor, operation: str, group: ProcessGroup) -> Tensor:
    """x over all ranks of a group, by `sum` or `max`, without a gradient; also under compile."""
    return wait_tensor(all_reduce(x.detach().contiguous(), operation, group))


class _SumOfParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        return reduced(x, "sum", group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _SumOfGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return reduced(gradients[0], "sum", ctx.group), None


def sum_of_parts(x: Tensor, group: ProcessGroup) -> Tensor:
    """g: the sum of all ranks' x, each of which gets the gradient of the sum."""
    return _SumOfParts.apply(x, group)


def sum_of_gradients(x: Tensor, group: ProcessGroup) -> Tensor:
    """f: x, the same on all ranks, which use it for different things: its gradients are summed."""
    return _SumOfGradients.apply(x, group)
