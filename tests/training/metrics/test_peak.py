"""Devices by name."""

from __future__ import annotations

import pytest
import torch

from training.metrics.devices import ACCELERATORS, accelerator
from training.metrics.peak import measured_peak, peak_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("AMD Instinct MI300X", "MI300X"),
        ("h100", "H100"),
    ],
)
def test_drivers_and_peoples_names_are_known(said: str, found: str) -> None:
    device = accelerator(said)
    assert device is not None
    assert device.name == found


@pytest.mark.parametrize("said", ["", "NVIDIA A1000", "NVIDIA L400", "NVIDIA", "RTX"])
def test_others_are_not_guessed(said: str) -> None:
    assert accelerator(said) is None


def test_dense_rates_lie_above_float32() -> None:
    for device in ACCELERATORS:
        assert device.float32 < device.bfloat16 < 2.5e15
        assert 20e9 < device.memory < 300e9


def test_configured_peak_goes_first() -> None:
    assert peak_of(CPU, torch.float32, 5e12) == (5e12, "train.peak_flops")


def test_a_cpu_is_measured() -> None:
    peak = peak_of(CPU, torch.float32)
    assert 1e8 < peak.flops < 1e15
    assert peak.source.startswith("measured")
    assert measured_peak(CPU, torch.float32, seconds=0.0) > 1e8
