"""Adapters of a run in peft's format."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from model.adapters.config import LoraConfig
from model.adapters.peft_lora import write_lora
from model.adapters.peft_virtual import write_virtual
from model.adapters.record import ADAPTER, AdapterRecord
from model.adapters.stored import stored_adapters, stored_tokens
from model.adapters.targets import adapted_layers
from model.config import ModelConfig
from model.huggingface.families import write_config
from model.huggingface.reading import CONFIG as HF_CONFIG
from model.pretrained import open_weights
from model.weights import Weights
from schemas.errors import InputError, UsageError
from training.checkpoint.folder import CheckpointRef
from training.checkpoint.huggingface import Exported, Notice, checkpoint_of
from training.checkpoint.new_folder import new_folder

_OF_TRAINING = {"initializer_range", "router_aux_loss_coef", "output_router_logits"}
"""Keys of config.json without a say in what a model computes."""


def export_peft(
    run: Path,
    output: Path,
    *,
    step: int | None = None,
    dtype: torch.dtype = torch.float32,
    averaged: bool = False,
    notice: Notice = lambda line: None,
) -> Exported:
    """Write adapter_model.safetensors and adapter_config.json, see `export_huggingface`.

    The base is named where it is a Hugging Face folder that holds what was trained on; peft's
    callers give it otherwise. `notice` is told what the format cannot say: 4-bit weights, and keys
    of the configuration that are not the base's. Raises UsageError for a checkpoint of a whole
    model and for an output that is not empty, InputError, OutputError.
    """
    ref = checkpoint_of(run, step, notice)
    path = ref.folder / ADAPTER
    if not path.exists():
        raise UsageError(
            f"{ref.folder}: holds a whole model, no adapters; export it with --format hf"
        )
    record = AdapterRecord.read(path)
    shape = ref.shape()
    with new_folder(output) as partial:
        base = _base(record, path, notice)
        named = None if base is None or not (base.folder / HF_CONFIG).exists() else str(base.folder)
        part = "ema" if averaged else "model"
        written = _write(ref, record, partial, part=part, base=named, dtype=dtype)
    changed = None if base is None else _stretch(base.config, shape)
    for line in (_quantisation(record.lora, shape), changed):
        if line is not None:
            notice(line)
    return Exported(ref.step, written, str(dtype).removeprefix("torch."), averaged)


def _base(record: AdapterRecord, path: Path, notice: Notice) -> Weights | None:
    """The frozen weights; None, with a notice, where they are missing or others."""
    try:
        return record.open_base(path, open_weights)
    except InputError as error:
        notice(f"{error} (the export names no base, and its configuration was not compared)")
        return None


def _write(
    ref: CheckpointRef,
    record: AdapterRecord,
    folder: Path,
    *,
    part: str,
    base: str | None,
    dtype: torch.dtype,
) -> int:
    """How many numbers the adapters have."""
    shape, lora, prompt = ref.shape(), record.lora, record.prompt_tuning
    if prompt is not None:
        tokens = stored_tokens(ref.folder, prompt, part)
        return write_virtual(folder, shape, prompt, tokens, base=base, dtype=dtype)
    if lora is None:
        raise InputError(f"{ref.folder / ADAPTER}: names neither lora nor prompt_tuning")
    adapters = stored_adapters(ref.folder, lora, part)
    return write_lora(
        folder, shape, adapters, rank=lora.rank, rslora=lora.rslora, base=base, dtype=dtype
    )


def _quantisation(lora: LoraConfig | None, shape: ModelConfig) -> str | None:
    """That the adapters want the base in 4 bits, see docs/finetuning.md."""
    if lora is None or lora.quantize == "none":
        return None
    every = adapted_layers(shape, LoraConfig())
    some = adapted_layers(shape, lora) != every
    beside = ", with llm_int8_skip_modules naming lm_head and the layers without adapters"
    return (
        "the adapters were trained beside weights in nf4, which peft's format does not say: for "
        "equal logits load the base with BitsAndBytesConfig(load_in_4bit=True, "
        f"bnb_4bit_quant_type='nf4', bnb_4bit_use_double_quant={lora.double_quant})"
        f"{beside if some else ''}"
    )


def _stretch(base: ModelConfig, shape: ModelConfig) -> str | None:
    """What the run changed of the base's configuration, as transformers spells it."""
    try:
        theirs = write_config(base)[1]
    except UsageError as error:
        return f"the configuration of the base was not compared with that of the run: {error}"
    ours = write_config(shape)[1]
    keys = {key: value for key, value in ours.items() if theirs.get(key) != value}
    changed = {key: value for key, value in keys.items() if key not in _OF_TRAINING}
    if not changed:
        return None
    return (
        "peft's format does not say what the run changed of the model: set these in the "
        f"config.json of the base: {json.dumps(changed)[1:-1]}"
    )
