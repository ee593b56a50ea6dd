"""Experts as stacked weights, and the matrix products over tokens that are sorted by expert."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]

_ALIGNMENT_BYTES = 16
"""`torch.nn.functional.grouped_mm` wants rows that start at multiples of this."""


def _loop(x: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """The reference. It waits for the device, to learn the counts."""
    parts = x.split(counts.tolist())
    products = [functional.linear(part, w) for part, w in zip(parts, weight, strict=True)]
    return torch.cat(products)


def _grouped(x: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """Its gradient must come as a contiguous tensor; that of `sum()` alone is not."""
    ends = counts.cumsum(0).to(torch.int32)
    return functional.grouped_mm(x, weight.transpose(-2, -1), offs=ends)


KERNELS: dict[str, Kernel] = {"loop": _loop, "grouped": _grouped}
"""By name: (x [N, I] sorted by expert, weight [E, O, I], counts [E]) -> [N, O], where expert e
takes the next counts[e] rows. The counts sum to N; some may be 0."""


def best_kernel(x: Tensor, weight: Tensor) -> str:
    """The name that `auto` stands for: `grouped` where it computes forwards and backwards.

    Tried with torch 2.15: the backward pass refuses no rows at all, and sizes whose rows are not
    multiples of 16 bytes; CUDA's documentation promises bfloat16 from compute capability 8.0 on.
    """
    sizes = weight.shape[-2:]
    aligned = all(size * weight.element_size() % _ALIGNMENT_BYTES == 0 for size in sizes)
    if not aligned or x.shape[0] == 0:
        return "loop"
    if x.device.type == "cuda":
        modern = torch.cuda.get_device_capability(x.device) >= (8, 0)
        return "grouped" if modern and x.dtype == torch.bfloat16 else "loop"
    return "grouped" if x.device.type == "cpu" else "loop"


class Experts(nn.Module):
    """Some SwiGLU networks of one shape, without biases: those of this layer that are held here."""

    def __init__(self, n_experts: int, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate_proj = nn.Parameter(torch.empty(n_experts, hidden_dim, dim))
        self.up_proj = nn.Parameter(torch.empty(n_experts, hidden_dim, dim))
        self.down_proj = nn.Parameter(torch.empty(n_experts, dim, hidden_dim))
        self.kernel = "auto"

    def forward(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """tokens [N, dim] sorted by expert, counts [E] of each expert's tokens -> [N, dim]."""
        gate, up, down = self.weights()
        if torch.is_autocast_enabled(tokens.device.type):
            # Autocast knows nn.Linear, not grouped products.
            dtype = torch.get_autocast_dtype(tokens.device.type)
            tokens, gate, up, down = (t.to(dtype) for t in (tokens, gate, up, down))
        name = best_kernel(tokens, gate) if self.kernel == "auto" else self.kernel
        multiply = KERNELS[name]
        hidden = functional.silu(multiply(tokens, gate, counts)) * multiply(tokens, up, counts)
        return multiply(hidden, down, counts)

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """gate, up and down, as the products take them."""
        return self.gate_proj, self.up_proj, self.down_proj
