"""A frozen model and its adapters, read as the weights of one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from model.adapters import nf4
from model.adapters.config import LoraConfig
from model.adapters.lora import NAMES, Factors, initial_factor, row_norms
from model.config import ModelConfig
from model.weights import Weights, expected_shapes

Adapters = Mapping[str, Callable[[], Factors]]
"""By name of the adapted layer; read when asked for."""


class MergedWeights:
    """`model.weights.Weights`: each adapted matrix is merged in float32 when it is asked for."""

    def __init__(
        self,
        folder: Path,
        config: ModelConfig,
        base: Weights,
        adapters: Adapters,
        quantized: bool | None = None,
    ) -> None:
        """`config` is the shape with what training changed of it. `quantized`: the adapters were
        trained beside 4-bit weights, with (True) or without double quantisation; merged is then
        what those stand for, and the result stays float32. None: they were not."""
        self.folder = folder
        self.config = config
        self._base = base
        self._adapters = adapters
        self._quantized = quantized

    def tensor(self, name: str) -> Tensor:
        """See `model.weights.Weights`."""
        layer, _, last = name.rpartition(".")
        if last != "weight" or layer not in self._adapters:
            return self._base.tensor(name)
        weight = as_frozen(self._base.tensor(name).float(), self._quantized)
        return self._adapters[layer]().merge(weight)


def as_frozen(weight: Tensor, quantized: bool | None) -> Tensor:
    """The numbers [out, in] that an adapter is trained beside, see `MergedWeights`."""
    if quantized is None:
        return weight
    return nf4.dequantize(nf4.quantize(weight, double=quantized), weight.shape)


def quantization(config: LoraConfig) -> bool | None:
    """`MergedWeights`' `quantized`."""
    return None if config.quantize == "none" else config.double_quant


class FreshAdapters:
    """What training begins with: the base's tensors by their names, and beside each adapted
    `<layer>.weight` the first values of the adapter."""

    def __init__(
        self, base: Weights, config: LoraConfig, seed: int, start: Adapters | None = None
    ) -> None:
        """`start`: adapters to go on from."""
        self._base = base
        self._config = config
        self._seed = seed
        self._start = start or {}
        self._shapes = expected_shapes(base.config)

    def tensor(self, name: str) -> Tensor:
        """A whole tensor. Raises InputError."""
        layer, _, last = name.rpartition(".")
        if last not in NAMES:
            return self._base.tensor(name)
        if layer in self._start:
            return self._from_start(layer, last)
        if last == "magnitude":
            return row_norms(self._frozen(layer))
        outputs, inputs = self._shapes[f"{layer}.weight"]
        rank = self._config.rank
        shape = {"lora_a": (rank, inputs), "lora_b": (outputs, rank), "lora_e": (rank,)}[last]
        triplets = self._config.budget is not None
        return initial_factor(name, torch.Size(shape), self._seed, triplets)

    def _frozen(self, layer: str) -> Tensor:
        weight = self._base.tensor(f"{layer}.weight").float()
        return as_frozen(weight, quantization(self._config))

    def _from_start(self, layer: str, last: str) -> Tensor:
        factors = self._start[layer]()
        if last == "magnitude" and factors.magnitude is None:
            return row_norms(self._frozen(layer) + factors.delta())
        found = {"lora_a": factors.a, "lora_b": factors.b, "magnitude": factors.magnitude}[last]
        assert found is not None
        return found.float()
