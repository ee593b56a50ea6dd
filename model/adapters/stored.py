"""Checkpoints that hold adapters alone, opened as the whole models that they stand for."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from model.adapters.config import LoraConfig
from model.adapters.lora import Factors
from model.adapters.merged import Adapters, MergedWeights, quantization
from model.adapters.record import ADAPTER, AdapterRecord, Opener
from model.adapters.targets import adapted_layers
from model.checkpoint_files import MODEL_PART, CheckpointTensors
from model.config import ModelConfig
from model.weights import differences
from schemas.errors import InputError, UsageError


def factor_names(shape: ModelConfig, config: LoraConfig) -> dict[str, list[str]]:
    """Names of the parameters of each adapted layer. Raises UsageError, see `adapted_layers`."""
    kinds = ["lora_a", "lora_b"]
    kinds += ["lora_e"] if config.budget is not None else []
    kinds += ["magnitude"] if config.dora else []
    return {layer: [f"{layer}.{k}" for k in kinds] for layer in adapted_layers(shape, config)}


def stored_adapters(folder: Path, config: LoraConfig, part: str = MODEL_PART) -> Adapters:
    """The adapters of a checkpoint folder. Raises InputError for one that is damaged."""
    tensors = CheckpointTensors(folder, part)
    try:
        names = factor_names(tensors.config, config)
    except UsageError as error:
        raise InputError(f"{folder / ADAPTER}: {error}") from error
    held = tensors.shapes if part == MODEL_PART else _without_counters(tensors)
    problem = differences(held, dict.fromkeys(name for of in names.values() for name in of))
    if problem is not None:
        raise InputError(f"{folder}: {problem}")
    return {layer: partial(_factors, tensors, layer, config) for layer in names}


def open_merged(folder: Path, opener: Opener, part: str = MODEL_PART) -> MergedWeights:
    """The model of a checkpoint folder with LoRA's adapters. `part`: or their moving average.

    Raises InputError for a damaged checkpoint and a base that is missing or another.
    """
    record = AdapterRecord.read(folder / ADAPTER)
    assert record.lora is not None
    adapters = stored_adapters(folder, record.lora, part)
    base = record.open_base(folder / ADAPTER, opener)
    config = CheckpointTensors(folder).config
    return MergedWeights(folder, config, base, adapters, quantization(record.lora))


def _factors(tensors: CheckpointTensors, layer: str, config: LoraConfig) -> Factors:
    def read(kind: str, there: bool) -> Tensor | None:
        return tensors.tensor(f"{layer}.{kind}") if there else None

    a, b = tensors.tensor(f"{layer}.lora_a"), tensors.tensor(f"{layer}.lora_b")
    e = read("lora_e", config.budget is not None)
    return Factors(a, b, config.scale, e, read("magnitude", config.dora))


def _without_counters(tensors: CheckpointTensors) -> dict[str, object]:
    return {name: shape for name, shape in tensors.shapes.items() if name != "updates"}
