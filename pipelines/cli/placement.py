"""Where a model is put, and in which type: the options --device and --dtype of commands."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from schemas.errors import UsageError

if TYPE_CHECKING:
    import torch

_PACKAGES = ("torch", "tokenizers", "safetensors")


def need_training_packages(what: str) -> None:
    """Raises UsageError where the extra `train` is not installed; `what` needs it."""
    for name in _PACKAGES:
        if find_spec(name) is None:
            raise UsageError(
                f"{name} is not installed; {what} needs: pip install 'corpusmill[train]'"
            )


def device_of(name: str) -> torch.device:
    """The device of that name; auto is CUDA where there is any. Raises UsageError."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    place: torch.device | None = None
    with suppress(RuntimeError):
        place = torch.device(name)
    if place is None or place.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name} is none of auto, cpu, cuda, cuda:N")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: there is no CUDA device here; take cpu")
    return place


def dtype_of(name: str) -> torch.dtype:
    """The type of that name. Raises UsageError."""
    import torch

    types = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name not in types:
        raise UsageError(f"--dtype {name} is none of {', '.join(types)}")
    return types[name]
