"""Which linear layers of a decoder are adapted, and putting adapted ones in their place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from torch import nn

from model.adapters.config import LoraConfig
from model.adapters.lora import LoraLinear, QuantizedLoraLinear
from model.config import ModelConfig
from model.decoder import Decoder
from model.weights import hollow
from schemas.errors import UsageError

REGEX = "re:"
"""Begins a pattern that is a regular expression."""


def adapted_layers(shape: ModelConfig, config: LoraConfig) -> list[str]:
    """Names of the linear layers that the configuration asks for, in the order of the model.

    Raises UsageError for a pattern that means no layer, with the layers that there are. Stacked
    experts, routers, embedding and head are no linear layers here.
    """
    decoder = hollow(shape)
    names = [n for n, module in decoder.named_modules() if isinstance(module, nn.Linear)]
    if config.targets is None:
        return names
    chosen: set[str] = set()
    for pattern in config.targets:
        found = [name for name in names if _matches(pattern, name)]
        if not found:
            kinds = dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in names)
            raise UsageError(
                f"lora.targets: {pattern!r} is no linear layer of this model; there are: "
                f"{', '.join(kinds)}"
            )
        chosen.update(found)
    return [name for name in names if name in chosen]


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith(REGEX):
        expression = pattern.removeprefix(REGEX)
        try:
            return re.fullmatch(expression, name) is not None
        except re.error as error:
            raise UsageError(
                f"lora.targets: {expression!r} is no regular expression: {error}"
            ) from None
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def adapt(part: Decoder, layers: Collection[str], config: LoraConfig) -> None:
    """Freeze a decoder, or a part of one, and adapt those of the named layers that it has.

    Weights that are there stay, except under `quantize`, where they have to be set (`quantize`
    of the layer).
    """
    part.requires_grad_(False)
    kind = LoraLinear if config.quantize == "none" else QuantizedLoraLinear
    for name, old in list(part.named_modules()):
        if name in layers and isinstance(old, nn.Linear):
            new = kind(old.in_features, old.out_features, old.bias is not None, config)
            new.bias = old.bias
            if config.quantize == "none":
                new.weight = old.weight
            parent, _, last = name.rpartition(".")
            setattr(part.get_submodule(parent), last, new)


def adapters(parts: Iterable[nn.Module]) -> dict[str, LoraLinear]:
    """The adapted layers held here, by name."""
    return {
        name: module
        for part in parts
        for name, module in part.named_modules()
        if isinstance(module, LoraLinear)
    }
