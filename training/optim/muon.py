"""Muon for matrices cut over ranks, and for stacks of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
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
    stacks [E, M, N] of matrices, each orthogonalized on its own. Matrices cut over ranks are
    gathered, orthogonalized on every rank and cut again: one all-gather of the matrices a step, so
    the result is that of one process. A stack that is cut into whole matrices stays where it is.
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
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        buffer = self.state[parameter]["momentum_buffer"]
        buffer.lerp_(gradient, 1 - momentum)
        direction = _orthogonal(gradient.lerp(buffer, momentum), group["dtype"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        scale = update_scale(parameter.shape)
        parameter.add_(direction.to(parameter.dtype), alpha=-group["lr"] * scale)


def _orthogonal(direction: Tensor, dtype: torch.dtype | None) -> Tensor:
    """`orthogonalize` of a tensor that may be cut over ranks, cut in the same way."""
    if dtype is None:
        dtype = torch.float32 if direction.device.type == "cpu" else torch.bfloat16
    if not isinstance(direction, DTensor):
        return orthogonalize(direction, dtype)
    mesh, placements = direction.device_mesh, direction.placements
    # The matrices lie whole in their ranks when only the axis that stacks them is cut.
    if direction.ndim > 2 and all(_keeps_matrices(p, direction.ndim) for p in placements):
        local = orthogonalize(direction.to_local(), dtype)
    else:
        whole = orthogonalize(direction.full_tensor(), dtype)
        everywhere = DTensor.from_local(whole, mesh, [Replicate()] * mesh.ndim, run_check=False)
        return everywhere.redistribute(placements=placements)
    return DTensor.from_local(
        local, mesh, placements, run_check=False, shape=direction.shape, stride=direction.stride()
    )


def _keeps_matrices(placement: Any, ndim: int) -> bool:
    return placement.is_replicate() or (isinstance(placement, Shard) and placement.dim < ndim - 2)
