"""Adapters of a run in peft's format."""

from __future__ import annotations

import json
import os
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
from model.weights import expected_shapes
from schemas.errors import InputError, UsageError
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

    The base is named where it is a Hugging Face folder; peft's callers give it otherwise. `notice`
    is told what the format cannot say: 4-bit weights, and keys of the configuration that are not
    the base's. Raises UsageError for a checkpoint of a whole model and for an output that is not
    empty, InputError, OutputError.
    """
    ref = checkpoint_of(run, step, notice)
    path = ref.folder / ADAPTER
    if not path.exists():
        raise UsageError(
            f"{ref.folder}: holds a whole model, no adapters; export it with --format hf"
        )
    record = AdapterRecord.read(path)
    shape = ref.shape()
    base = record.base if os.path.exists(os.path.join(record.base, HF_CONFIG)) else None
    part = "ema" if averaged else "model"
    with new_folder(output) as partial:
        if record.prompt_tuning is not None:
            tokens = stored_tokens(ref.folder, record.prompt_tuning, part)
            written = write_virtual(
                partial, shape, record.prompt_tuning, tokens, base=base, dtype=dtype
            )
        elif record.lora is not None:
            lora = record.lora
            adapters = stored_adapters(ref.folder, lora, part)
            written = write_lora(
                partial,
                shape,
                adapters,
                rank=lora.rank,
                rslora=lora.rslora,
                base=base,
                dtype=dtype,
            )
        else:
            raise InputError(f"{path}: names neither lora nor prompt_tuning")
    for line in (_quantisation(record.lora, shape), _stretch(record, shape)):
        if line is not None:
            notice(line)
    return Exported(ref.step, written, str(dtype).removeprefix("torch."), averaged)


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


def _stretch(record: AdapterRecord, shape: ModelConfig) -> str | None:
    """What the run changed of the base's configuration, as transformers spells it."""
    try:
        base = open_weights(record.base).config
        theirs = write_config(base)[1]
    except (InputError, UsageError) as error:
        return f"{error}: the configuration of the base was not compared with that of the run"
    if expected_shapes(base) != expected_shapes(shape):
        return f"{record.base}: is another model now: its configuration was not compared"
    ours = write_config(shape)[1]
    keys = {key: value for key, value in ours.items() if theirs.get(key) != value}
    changed = {key: value for key, value in keys.items() if key not in _OF_TRAINING}
    if not changed:
        return None
    return (
        "peft's format does not say what the run changed of the model: set these in the "
        f"config.json of the base: {json.dumps(changed)[1:-1]}"
    )
