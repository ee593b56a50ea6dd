"""Adapters of a run in peft's format."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from model.adapters.peft_lora import write_lora
from model.adapters.peft_virtual import write_virtual
from model.adapters.record import ADAPTER, AdapterRecord
from model.adapters.stored import stored_adapters, stored_tokens
from model.huggingface.reading import CONFIG as HF_CONFIG
from schemas.errors import InputError, UsageError
from training.checkpoint.huggingface import Exported, Notice, checkpoint_of
from training.checkpoint.new_folder import new_folder


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

    The base is named where it is a Hugging Face folder; peft's callers give it otherwise. Raises
    UsageError for a checkpoint of a whole model and for an output that is not empty, InputError,
    OutputError.
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
    return Exported(ref.step, written, str(dtype).removeprefix("torch."), averaged)
