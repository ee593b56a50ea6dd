"""Muon for matrices cut over ranks, and for stacks of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration (K. Jordan et al., "Muon: An optimizer for hidden layers in neural
networks", 2024, section "Newton-Schulz"): they make small singular values grow fastest, at the
price of ending between about 0.7 and 1.2 rather than at 1."""
_SMALLEST_NORM = 1e-7


def orthogonalize(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest (semi-)orthogonal matrix to each of [..., M, N], roughly, in `dtype`.

    Newton-Schulz iteration on singular values, as torch.optim.Muon does for one matrix.
    """
    a, b, c = COEFFICIENTS
    x = matrices.to(dtype).reshape(-1, *matrices.shape[-2:])
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    # The Frobenius norm bounds the spectral norm, which has to be at most one.
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=_SMALLEST_NORM)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape)


def update_scale(shape: torch.Size) -> float:
    """What makes an orthogonal update as large as AdamW's, 0.2 in root mean square: so learning
    rate and decay of AdamW serve (Liu et al., arXiv 2502.16982, equation 4)."""
    return 0.2 * math.sqrt(max(shape[-2:]))


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized (Jordan et al. 2024), with Nesterov's step and decoupled decay.

    torch.optim.Muon takes plain 2-D tensors. Here parameters may be DTensors on any mesh, and
    stacks [E, M, N] of matrices, each orthogonalized on its own. A stack that is cut into whole
    matrices stays where it is. Other matrices are gathered, dealt out among the ranks of one axis
    of their mesh, and sent back to all of them: the result is that of one process.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        """`dtype` of the iteration: by default bfloat16 on devices that have fast kernels for it,
        float32 on a CPU."""
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "dtype": dtype}
        super().__init__(list(parameters), defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    raise ValueError(f"Muon takes matrices, not the shape {parameter.shape}")
                self.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient. Takes no closure."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            cut: dict[tuple[DeviceMesh, int], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                axis = _axis_to_deal_over(parameter)
                if axis is None:
                    direction = _where_it_lies(self._direction(parameter, group), group["dtype"])
                    _apply(parameter, direction, group)
                else:
                    cut.setdefault((parameter.device_mesh, axis), []).append(parameter)
            for (mesh, axis), parameters in cut.items():
                ranks = mesh.size(axis)
                for start in range(0, len(parameters), ranks):
                    self._deal(parameters[start : start + ranks], mesh, axis, group)

    def _direction(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        momentum, gradient = group["momentum"], parameter.grad
        assert gradient is not None
        buffer = self.state[parameter]["momentum_buffer"]
        buffer.lerp_(gradient, 1 - momentum)
        return gradient.lerp(buffer, momentum)

    def _deal(
        self, parameters: list[Tensor], mesh: DeviceMesh, axis: int, group: dict[str, Any]
    ) -> None:
        """Update at most one parameter a rank of the axis: rank n orthogonalizes the n-th."""
        rank, mine = mesh.get_local_rank(axis), torch.empty(0)
        dtype = group["dtype"] or _fast_dtype(parameters[0])
        for number, parameter in enumerate(parameters):
            whole = _as_dtensor(self._direction(parameter, group)).full_tensor()
            # Kept until all are gathered: the ranks then compute at the same time.
            mine = whole if number == rank else mine
        if rank < len(parameters):
            mine = orthogonalize(mine, dtype).contiguous()
        everywhere = [Replicate()] * mesh.ndim
        for number, parameter in enumerate(parameters):
            empty = torch.empty(parameter.shape, dtype=dtype, device=parameter.device)
            whole = mine if number == rank else empty
            distributed.broadcast(whole, group=mesh.get_group(axis), group_src=number)
            found = DTensor.from_local(whole, mesh, everywhere, run_check=False)
            placements = _as_dtensor(parameter).placements
            _apply(parameter, found.redistribute(placements=placements), group)


def _apply(parameter: Tensor, direction: Tensor, group: dict[str, Any]) -> None:
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    scale = update_scale(parameter.shape)
    parameter.add_(direction.to(parameter.dtype), alpha=-group["lr"] * scale)


def _axis_to_deal_over(parameter: Tensor) -> int | None:
    """The longest axis of the mesh that matrices are cut over, None if they lie whole."""
    if not isinstance(parameter, DTensor):
        return None
    stacked, mesh = parameter.ndim > 2, parameter.device_mesh
    axes = [
        axis
        for axis, placement in enumerate(parameter.placements)
        if not placement.is_replicate() and mesh.size(axis) > 1
    ]
    if stacked and all(_cuts_the_stack(parameter.placements[a], parameter.ndim) for a in axes):
        return None
    return max(axes, key=mesh.size, default=None)


def _cuts_the_stack(placement: Any, ndim: int) -> bool:
    return isinstance(placement, Shard) and placement.dim < ndim - 2


def _where_it_lies(direction: Tensor, dtype: torch.dtype | None) -> Tensor:
    """`orthogonalize` of matrices that lie whole on each rank."""
    dtype = dtype or _fast_dtype(direction)
    if not isinstance(direction, DTensor):
        return orthogonalize(direction, dtype)
    return DTensor.from_local(
        orthogonalize(direction.to_local(), dtype),
        direction.device_mesh,
        direction.placements,
        run_check=False,
        shape=direction.shape,
        stride=direction.stride(),
    )


def _fast_dtype(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "cpu" else torch.bfloat16


def _as_dtensor(tensor: Tensor) -> DTensor:
    assert isinstance(tensor, DTensor)
    return tensor
