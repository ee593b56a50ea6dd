"""Peak rates and memory of accelerators by name. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple

TERA = 1e12
GIGA = 1e9


class Accelerator(NamedTuple):
    """What a data sheet says of one device."""

    name: str
    bfloat16: float
    """FLOP/s of dense matrix products with float32 sums; data sheets often print twice as much,
    with 2:4 sparsity."""
    float32: float
    """FLOP/s in float32 proper: TF32 is another type, and off by default in torch."""
    memory: float
    """Bytes."""
    source: str


def _accelerator(
    name: str, bfloat16: float, float32: float, memory: float, source: str
) -> Accelerator:
    return Accelerator(name, bfloat16 * TERA, float32 * TERA, memory * GIGA, source)


ACCELERATORS = (
    _accelerator("A100 80GB", 312, 19.5, 80, "NVIDIA A100 data sheet, 2022"),
    _accelerator("A100", 312, 19.5, 40, "NVIDIA A100 data sheet, 2022"),
    _accelerator("A10", 125, 31.2, 24, "NVIDIA A10 data sheet"),
    _accelerator("A40", 149.7, 37.4, 48, "NVIDIA A40 data sheet"),
    _accelerator("A6000", 154.8, 38.7, 48, "NVIDIA RTX A6000 data sheet, half of the sparse rate"),
    _accelerator("H100 PCIe", 756, 51, 80, "NVIDIA H100 data sheet, half of the sparse rate"),
    _accelerator("H100 NVL", 835.5, 60, 94, "NVIDIA H100 data sheet, half of the sparse rate"),
    _accelerator("H100", 989.5, 67, 80, "NVIDIA H100 data sheet, SXM, half of the sparse rate"),
    _accelerator("H200 NVL", 835.5, 60, 141, "NVIDIA H200 data sheet, half of the sparse rate"),
    _accelerator("H200", 989.5, 67, 141, "NVIDIA H200 data sheet, SXM, half of the sparse rate"),
    _accelerator("GH200", 989.5, 67, 96, "NVIDIA GH200 data sheet, half of the sparse rate"),
    _accelerator("B200", 2250, 75, 180, "NVIDIA HGX B200, an eighth of 36 PFLOP/s, half (sparse)"),
    _accelerator("L4", 121, 30.3, 24, "NVIDIA L4 data sheet, half of the sparse rate"),
    _accelerator("L40S", 362.05, 91.6, 48, "NVIDIA L40S data sheet"),
    _accelerator("RTX 3090", 71, 35.6, 24, "NVIDIA GA102 white paper, table 2"),
    _accelerator("RTX 4090", 165.2, 82.6, 24, "NVIDIA Ada white paper, appendix A"),
    _accelerator("RTX 5090", 209.5, 104.8, 32, "NVIDIA RTX Blackwell white paper, appendix A"),
    _accelerator("MI300X", 1307.4, 163.4, 192, "AMD Instinct MI300X data sheet"),
)
"""The most telling name wins, whatever the order here: see `accelerator`."""


def accelerator(name: str) -> Accelerator | None:
    """The device whose name's words all occur in `name`, as `torch.cuda.get_device_name` spells it
    ("NVIDIA H100 80GB HBM3") or as people do ("h100"); of several the one with most words."""
    words = set(name.replace("-", " ").lower().split())
    fits = [device for device in ACCELERATORS if set(device.name.lower().split()) <= words]
    return max(fits, key=lambda device: len(device.name.split()), default=None)
