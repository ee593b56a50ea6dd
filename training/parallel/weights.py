"""Weights by name into a model that is already sharded, one whole parameter at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from model.adapters.lora import QuantizedLoraLinear
from model.config import ModelConfig
from model.initial import initial_weight
from schemas.errors import InputError


def materialize(part: nn.Module, device: torch.device) -> None:
    """Give a part that was built on the meta device memory: parameters without values, buffers of
    zeros. A weight that two modules share stays shared."""
    shared = [(m, n, p) for m in part.modules() for n, p in m.named_parameters(recurse=False)]
    part.to_empty(device=device)
    new: dict[int, nn.Parameter] = {}
    for module, name, old in shared:
        setattr(module, name, new.setdefault(id(old), getattr(module, name)))
    with torch.no_grad():
        for buffer in part.buffers():
            buffer.zero_()


def fill(part: nn.Module, weight: Callable[[str, torch.Size], Tensor]) -> None:
    """Set each parameter to the share held here of `weight(name, whole shape)`.

    Every rank makes the same whole tensor, so nothing is sent.
    """
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            assign(parameter, weight(name, parameter.shape))


def assign(parameter: Tensor, whole: Tensor) -> None:
    """Set a parameter to the share held here of a whole tensor that every rank has."""
    if isinstance(parameter, DTensor):
        mesh, placements = parameter.device_mesh, parameter.placements
        whole = whole.to(parameter.device)
        local = distribute_tensor(whole, mesh, placements, src_data_rank=None).to_local()
        parameter.to_local().copy_(local)
    else:
        parameter.copy_(whole)


def initialize(part: nn.Module, config: ModelConfig, seed: int) -> None:
    """Draw all weights, see `model.initial.initial_weight`: the same model on any layout."""
    fill(part, lambda name, shape: initial_weight(config, name, shape, seed))


def load(part: nn.Module, whole: Callable[[str], Tensor]) -> None:
    """Set all parameters, persistent buffers and 4-bit weights from whole tensors by name. Raises
    InputError for another shape."""

    def checked(name: str, shape: torch.Size) -> Tensor:
        tensor = whole(name)
        if tensor.shape != shape:
            raise InputError(
                f"{name}: weights of shape {list(tensor.shape)} for a model with {list(shape)}; "
                "take the model section of the configuration from the weights' own config"
            )
        return tensor

    fill(part, checked)
    kept = part.state_dict().keys()
    with torch.no_grad():
        for name, buffer in part.named_buffers():
            if name in kept:
                buffer.copy_(checked(name, buffer.shape))
        for name, module in part.named_modules():
            if isinstance(module, QuantizedLoraLinear):
                module.quantize(checked(f"{name}.weight", module.shape))
