"""From a number of parameters to a shape. Imports no torch."""

from __future__ import annotations

import math
from typing import NamedTuple

from model.config import ModelConfig
from model.presets import PRESETS, preset
from training.sizing.parameters import count

_ASPECT = (64, 96, 128)
"""Least, preferred and most dim / n_layers. The loss hardly depends on it (Kaplan et al., arXiv
2001.08361, figure 5); Llama 2 and 3 lie at 80 to 128."""

_WIDE = 2048
"""From this dim on heads have 128 numbers, below it 64."""

_GROUP = 4
"""Query heads for each head of keys and values, as in Llama 3 8B."""


class Sized(NamedTuple):
    """A shape and how many parameters it has."""

    name: str
    config: ModelConfig
    parameters: int


def nearest_preset(parameters: float, vocab_size: int) -> Sized:
    """The dense preset with the closest number of parameters, as a ratio."""
    sized = [_sized(name, preset(name, vocab_size)) for name in PRESETS if _is_dense(name)]
    return min(sized, key=lambda one: _distance(one, parameters))


def shape_of(parameters: float, vocab_size: int) -> Sized:
    """A Llama-like shape with about as many parameters: the closest of those with a sensible
    aspect; of some within 2 % the one nearest to the preferred aspect."""
    shapes: list[Sized] = []
    dim = 64
    while not shapes or shapes[-1].config.dim <= 32_768:
        for layers in range(max(dim // _ASPECT[2], 1), dim // _ASPECT[0] + 1):
            shapes.append(_sized(f"{dim} x {layers}", _shape(dim, layers, vocab_size)))
        # Where there is room for steps, heads come in groups that share keys.
        dim += 64 if dim < 512 else 256 if dim < 4096 else 512

    def worth(one: Sized) -> tuple[float, float]:
        aspect = one.config.dim / one.config.n_layers
        return max(_distance(one, parameters), 0.02), abs(math.log(aspect / _ASPECT[1]))

    return min(shapes, key=worth)


def _shape(dim: int, layers: int, vocab_size: int) -> ModelConfig:
    size = 128 if dim >= _WIDE else 64
    heads = dim // size
    return ModelConfig(
        vocab_size=vocab_size,
        dim=dim,
        n_layers=layers,
        n_heads=heads,
        n_kv_heads=heads // _GROUP if heads % _GROUP == 0 else heads,
    )


def _is_dense(name: str) -> bool:
    return "moe" not in PRESETS[name] and name != "debug"


def _sized(name: str, config: ModelConfig) -> Sized:
    return Sized(name, config, count(config).total)


def _distance(one: Sized, parameters: float) -> float:
    return abs(math.log(one.parameters / parameters))
