"""4-bit NormalFloat with double quantisation (QLoRA, Dettmers et al., arXiv 2305.14314).

The reference here runs anywhere. On CUDA the kernels of bitsandbytes do the same on the same bytes,
behind the same functions: there it has not been run, on a CPU its operators are compared with ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from schemas.errors import UsageError

BLOCK = 64
"""Numbers that share a scale (section 3 of the paper)."""
SCALES_BLOCK = 256
"""Scales that share a scale of their own (same section)."""

_LEVELS = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""Appendix E of the paper: quantiles of the normal distribution, with an exact zero."""
_LEAST = 1e-38
"""The scale of a block of zeros is taken as this, so that nothing is divided by zero."""


class Nf4(NamedTuple):
    """A quantised tensor of n numbers in ceil(n / 64) blocks."""

    codes: Tensor
    """uint8 [ceil(n / 2)]: two numbers a byte, the first in the upper half."""
    scales: Tensor
    """Largest magnitude of each block: float32 [blocks]; with double quantisation uint8 codes."""
    outer: Tensor | None = None
    """float32 [ceil(blocks / 256) + 1]: scales of the scales, and last the mean that was taken off
    them. None without double quantisation."""


class Nf4Kernel(NamedTuple):
    """Who computes."""

    quantize: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Any shape -> (codes, scales in float32)."""
    dequantize: Callable[[Tensor, Tensor, torch.Size], Tensor]
    """(codes, scales in float32, shape) -> float32 of that shape."""


def quantize(tensor: Tensor, *, double: bool = True, kernel: str = "auto") -> Nf4:
    """A tensor of any shape, flattened row by row. Raises UsageError on CUDA without
    bitsandbytes."""
    name = best_kernel(tensor.device) if kernel == "auto" else kernel
    codes, scales = KERNELS[name].quantize(tensor.detach().float().contiguous())
    if not double:
        return Nf4(codes, scales)
    mean = scales.mean()
    inner, outer = _quantize_scales(scales - mean)
    return Nf4(codes, inner, torch.cat((outer, mean[None])))


def dequantize(packed: Nf4, shape: torch.Size, *, kernel: str = "auto") -> Tensor:
    """The tensor, float32. Raises UsageError on CUDA without bitsandbytes."""
    name = best_kernel(packed.codes.device) if kernel == "auto" else kernel
    scales = packed.scales
    if packed.outer is not None:
        scales = _dequantize_scales(scales, packed.outer[:-1]) + packed.outer[-1]
    return KERNELS[name].dequantize(packed.codes, scales, shape)


def best_kernel(device: torch.device) -> str:
    """The name that `auto` stands for."""
    return "bitsandbytes" if device.type == "cuda" else "reference"


def _reference_quantize(tensor: Tensor) -> tuple[Tensor, Tensor]:
    blocks = _in_blocks(tensor.flatten(), BLOCK)
    scales = blocks.abs().amax(dim=1)
    scaled = (blocks * (1.0 / scales.clamp_min(_LEAST))[:, None]).clamp(-1, 1).flatten()
    scaled = scaled[: tensor.numel() + tensor.numel() % 2]
    levels = torch.tensor(_LEVELS, device=tensor.device)
    # The nearest level; halfway between two it is the lower one.
    codes = torch.bucketize(scaled, (levels[1:] + levels[:-1]) / 2).to(torch.uint8)
    return (codes[::2] << 4) | codes[1::2], scales


def _reference_dequantize(codes: Tensor, scales: Tensor, shape: torch.Size) -> Tensor:
    levels = torch.tensor(_LEVELS, device=codes.device)
    numbers = levels[torch.stack((codes >> 4, codes & 15), dim=1).flatten().int()]
    blocks = _in_blocks(numbers[: math.prod(shape)], BLOCK) * scales[:, None]
    return blocks.flatten()[: math.prod(shape)].view(shape)


def _bitsandbytes_quantize(tensor: Tensor) -> tuple[Tensor, Tensor]:
    _load_bitsandbytes()
    codes, scales = torch.ops.bitsandbytes.quantize_4bit(tensor, BLOCK, "nf4", torch.uint8)
    return codes.flatten(), scales


def _bitsandbytes_dequantize(codes: Tensor, scales: Tensor, shape: torch.Size) -> Tensor:
    """As one row: blocks are counted over the whole tensor, but bitsandbytes 0.50.2 on CPUs with
    AVX-512 takes wrong scales where rows are a multiple of 16 long and none of 64."""
    _load_bitsandbytes()
    found: Tensor = torch.ops.bitsandbytes.dequantize_4bit(
        codes[:, None], scales, BLOCK, "nf4", torch.Size([shape.numel()]), torch.float32
    )
    return found.view(shape)


def _load_bitsandbytes() -> None:
    """Its import registers the operators."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "lora.quantize: nf4 on CUDA needs bitsandbytes: pip install 'corpusmill[qlora]'"
        ) from error


KERNELS: dict[str, Nf4Kernel] = {
    "reference": Nf4Kernel(_reference_quantize, _reference_dequantize),
    "bitsandbytes": Nf4Kernel(_bitsandbytes_quantize, _bitsandbytes_dequantize),
}
"""By name."""


def dynamic_levels() -> Tensor:
    """The 256 levels of 8-bit dynamic tree quantisation with a sign, rising, float32 (Dettmers,
    arXiv 1511.04561, section 3): decades from 1e-6 to 1, the n-th of 7 with 2^n fractions."""
    levels = [torch.tensor([0.0, 1.0])]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1, dtype=torch.float32)
        fractions = 10 ** (decade - 6) * ((edges[:-1] + edges[1:]) / 2)
        levels += [fractions, -fractions]
    return torch.cat(levels).sort().values


def _quantize_scales(scales: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 codes as `scales`, and the largest magnitude of each block of 256."""
    blocks = _in_blocks(scales, SCALES_BLOCK)
    outer = blocks.abs().amax(dim=1)
    scaled = (blocks * (1.0 / outer.clamp_min(_LEAST))[:, None]).flatten()[: len(scales)]
    levels = dynamic_levels().to(scales.device)
    codes = torch.bucketize(scaled, (levels[1:] + levels[:-1]) / 2)
    return codes.to(torch.uint8), outer


def _dequantize_scales(codes: Tensor, outer: Tensor) -> Tensor:
    numbers = _in_blocks(dynamic_levels().to(codes.device)[codes.int()], SCALES_BLOCK)
    return (numbers * outer[:, None]).flatten()[: len(codes)]


def _in_blocks(flat: Tensor, size: int) -> Tensor:
    """[n] -> [blocks, size], zeros behind the last."""
    return torch.nn.functional.pad(flat, (0, -len(flat) % size)).view(-1, size)
