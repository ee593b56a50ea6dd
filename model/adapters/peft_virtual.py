"""Virtual tokens in the format of peft: its PROMPT_TUNING, and its PREFIX_TUNING without a
projection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.adapters.config import PromptTuning
from model.adapters.peft_lora import PEFT_CONFIG, StoredPeft, write_folder
from model.adapters.virtual import virtual_shapes
from model.config import ModelConfig
from model.huggingface.families import write_config
from model.huggingface.safetensors_folder import read_object
from schemas.errors import InputError

PROMPT, PREFIX = "PROMPT_TUNING", "PREFIX_TUNING"
_TENSOR = "prompt_embeddings"
"""The one tensor: [tokens, dim]; of a prefix [tokens, layers * 2 * K * d], for each layer its keys
and then its values."""


def write_virtual(
    folder: Path,
    shape: ModelConfig,
    config: PromptTuning,
    tokens: Mapping[str, Tensor],
    *,
    base: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> int:
    """Write virtual tokens (see `virtual_shapes`); returns how many numbers they have.

    Raises UsageError for a shape that no family has, OutputError.
    """
    write_config(shape)
    prompt = config.kind == "prompt"
    if prompt:
        flat = tokens["virtual.embeddings"]
    else:
        ordered = [tokens[name] for name in virtual_shapes(shape, config)]
        flat = torch.stack(ordered, dim=1).flatten(1)
    keys: dict[str, Any] = {
        "peft_type": PROMPT if prompt else PREFIX,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "num_virtual_tokens": config.tokens,
        "num_transformer_submodules": 1,
        "num_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads if prompt else shape.kv_heads,
        "token_dim": shape.dim if prompt else shape.kv_heads * shape.head_size,
    }
    if prompt:
        keys["prompt_tuning_init"] = "RANDOM"
    else:
        keys |= {"prefix_projection": False, "encoder_hidden_size": shape.dim}
    write_folder(folder, keys, {_TENSOR: flat.detach().to("cpu", dtype).contiguous()})
    return flat.numel()


def read_virtual(folder: Path, shape: ModelConfig) -> tuple[PromptTuning, dict[str, Tensor]]:
    """Virtual tokens of a folder for a model of that shape. Raises InputError."""
    path = folder / PEFT_CONFIG
    keys = read_object(path)
    if keys.get("prefix_projection") and keys.get("inference_mode") is not True:
        raise InputError(f"{path}: prefix_projection: only prefixes without are known here")
    kind = "prompt" if keys.get("peft_type") == PROMPT else "prefix"
    stored = StoredPeft(folder)
    if list(stored.shapes) != [_TENSOR]:
        raise InputError(f"{stored.path}: does not hold {_TENSOR} alone")
    found = stored.shapes[_TENSOR]
    if len(found) != 2 or found[0] < 1:
        raise InputError(
            f"{stored.path}: {_TENSOR} has the shape {found}, not one of tokens and numbers"
        )
    count, width = found
    if keys.get("num_virtual_tokens", count) != count:
        raise InputError(
            f"{stored.path}: {_TENSOR} has {count} tokens, {PEFT_CONFIG} says "
            f"{keys['num_virtual_tokens']}"
        )
    config = PromptTuning.model_validate({"kind": kind, "tokens": count})
    size = shape.kv_heads * shape.head_size
    wanted = shape.dim if kind == "prompt" else shape.n_layers * 2 * size
    if width != wanted:
        raise InputError(
            f"{stored.path}: {_TENSOR} has {width} numbers a token, this model has {wanted}: is it "
            "another model's?"
        )
    flat = stored.tensor(_TENSOR)
    names = virtual_shapes(shape, config)
    if kind == "prompt":
        return config, {"virtual.embeddings": flat}
    parts = flat.view(count, len(names), shape.kv_heads, shape.head_size).unbind(1)
    return config, dict(zip(names, parts, strict=True))
