"""Checkpoints that hold adapters alone, opened as the whole models that they stand for."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from model.adapters.config import LoraConfig, PromptTuning
from model.adapters.lora import Factors
from model.adapters.merged import Adapters, MergedWeights, quantization
from model.adapters.prompted import PromptedWeights
from model.adapters.record import ADAPTER, AdapterRecord, Opener
from model.adapters.targets import adapted_layers
from model.adapters.virtual import virtual_shapes
from model.checkpoint_files import MODEL_PART, CheckpointTensors
from model.config import ModelConfig
from model.weights import Weights, differences
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
    held = _without_counters(tensors)
    problem = differences(held, dict.fromkeys(name for of in names.values() for name in of))
    if problem is not None:
        raise InputError(f"{folder}: {problem}")
    return {layer: partial(_factors, tensors, layer, config) for layer in names}


def open_adapted(folder: Path, opener: Opener, part: str = MODEL_PART) -> Weights:
    """The model of a checkpoint folder of adapters, or of virtual tokens (`PromptedWeights`).
    `part`: or their moving average.

    Raises InputError for a damaged checkpoint and a base that is missing or another.
    """
    record = AdapterRecord.read(folder / ADAPTER)
    base = record.open_base(folder / ADAPTER, opener)
    config = CheckpointTensors(folder).config
    if record.prompt_tuning is not None:
        tokens = stored_tokens(folder, record.prompt_tuning, part)
        return PromptedWeights(folder, config, base, record.prompt_tuning, tokens)
    if record.lora is None:
        raise InputError(f"{folder / ADAPTER}: names neither lora nor prompt_tuning")
    adapters = stored_adapters(folder, record.lora, part)
    return MergedWeights(folder, config, base, adapters, quantization(record.lora))


def stored_tokens(folder: Path, config: PromptTuning, part: str = MODEL_PART) -> dict[str, Tensor]:
    """The virtual tokens of a checkpoint folder, see `virtual_shapes`. Raises InputError."""
    tensors = CheckpointTensors(folder, part)
    expected = virtual_shapes(tensors.config, config)
    problem = differences(_without_counters(tensors), expected)
    if problem is not None:
        raise InputError(f"{folder}: {problem}")
    return {name: tensors.tensor(name) for name in expected}


def _factors(tensors: CheckpointTensors, layer: str, config: LoraConfig) -> Factors:
    def read(kind: str, there: bool) -> Tensor | None:
        return tensors.tensor(f"{layer}.{kind}") if there else None

    a, b = tensors.tensor(f"{layer}.lora_a"), tensors.tensor(f"{layer}.lora_b")
    e = read("lora_e", config.budget is not None)
    return Factors(a, b, config.scale, e, read("magnitude", config.dora))


def _without_counters(tensors: CheckpointTensors) -> dict[str, object]:
    """A moving average also says of how many steps it is."""
    return {name: shape for name, shape in tensors.shapes.items() if name != "updates"}
