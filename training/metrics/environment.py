"""What a run ran on and with, for its record. Names no host and no path."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from schemas.secret_names import looks_secret

_PACKAGES = ("corpusmill", "torch", "numpy", "tokenizers", "safetensors", "tensorboard")


def versions() -> dict[str, str]:
    """Of Python and the packages that decide what a run computes; those installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment(device: torch.device) -> dict[str, Any]:
    """Hardware and settings of this process."""
    facts: dict[str, Any] = {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device.type,
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["gpu_memory_bytes"] = torch.cuda.get_device_properties(device).total_memory
        facts["cuda"] = torch.version.cuda
        facts["gpus_here"] = torch.cuda.device_count()
    return facts


def command() -> list[str]:
    """The command line, with the program's name without its folder, and without access tokens."""
    arguments = ["..." if looks_secret(argument) else argument for argument in sys.argv[1:]]
    return [Path(sys.argv[0]).name, *arguments]


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    return next(names, platform.processor())
