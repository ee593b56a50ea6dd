"""The norm of all gradients, each number counted once wherever it lies."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor


def total_norm(
    parameters: Iterable[nn.Parameter], stages: distributed.ProcessGroup | None = None
) -> float:
    """Euclidean norm of the gradients of all ranks. Every rank calls it and gets the same number.

    A plain gradient is taken as equal on all ranks. A sharded one is summed over the axes that it
    is sharded over, so parameters may lie on different meshes. `stages` hold other parameters.
    """
    squares: dict[tuple[DeviceMesh, tuple[int, ...]] | None, list[Tensor]] = defaultdict(list)
    device = torch.device("cpu")
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        device = gradient.device
        key = None
        if isinstance(gradient, DTensor):
            axes = tuple(i for i, p in enumerate(gradient.placements) if not p.is_replicate())
            key = (gradient.device_mesh, axes)
            gradient = gradient.to_local()
        squares[key].append(gradient.float().square().sum())
    total = torch.zeros((), dtype=torch.float64, device=device)
    for key, parts in squares.items():
        part = torch.stack(parts).double().sum()
        if key is not None:
            mesh, axes = key
            for axis in axes:
                distributed.all_reduce(part, group=mesh.get_group(axis))
        total += part
    if stages is not None:
        distributed.all_reduce(total, group=stages)
    return math.sqrt(total.item())


def clip(
    parameters: Iterable[nn.Parameter],
    max_norm: float | None,
    stages: distributed.ProcessGroup | None = None,
    counted_elsewhere: nn.Parameter | None = None,
) -> float:
    """Scale all gradients so that `total_norm` is at most `max_norm`; returns the norm before.

    `counted_elsewhere` is the same weight as one of another stage: it is scaled with the others.

    As `torch.nn.utils.clip_grad_norm_` does; gradients whose norm is no number stay as they are.
    """
    held = [p for p in parameters if p.grad is not None]
    norm = total_norm((p for p in held if p is not counted_elsewhere), stages)
    if max_norm is not None and math.isfinite(norm) and norm > max_norm:
        gradients = [local(p.grad) for p in held if p.grad is not None]
        torch._foreach_mul_(gradients, max_norm / (norm + 1e-6))
    return norm


def local(tensor: Tensor) -> Tensor:
    """The numbers of a tensor that lie on this rank."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
