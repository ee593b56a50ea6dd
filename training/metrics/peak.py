"""The peak rate that an MFU is measured against, and where it comes from."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from training.metrics.devices import accelerator

_SIZE = 1024
_SECONDS = 0.3


class Peak(NamedTuple):
    """FLOP/s of one device."""

    flops: float
    source: str


def peak_of(device: torch.device, dtype: torch.dtype, configured: float | None = None) -> Peak:
    """`configured` (train.peak_flops) if given, else the data sheet's rate of the GPU for `dtype`,
    else what a matrix product of that type reaches on `device` now, with torch's threads."""
    if configured is not None:
        return Peak(configured, "train.peak_flops")
    if device.type == "cuda":
        known = accelerator(torch.cuda.get_device_name(device))
        if known is not None:
            rate = known.float32 if dtype == torch.float32 else known.bfloat16
            return Peak(rate, known.source)
    rate = measured_peak(device, dtype)
    return Peak(rate, f"measured: products of {_SIZE} x {_SIZE} matrices")


def measured_peak(device: torch.device, dtype: torch.dtype, seconds: float = _SECONDS) -> float:
    """FLOP/s of the fastest of the products that fit into `seconds` (after one to warm up)."""
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(_SIZE, _SIZE, generator=generator).to(device=device, dtype=dtype)
        for _ in range(2)
    )
    out = a @ b
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        _synchronize(device)
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        _synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * _SIZE**3 / best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
