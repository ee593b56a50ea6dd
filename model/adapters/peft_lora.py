"""LoRA adapters in the format of peft (`adapter_config.json`, `adapter_model.safetensors`), written
and read without peft. Names follow the Hugging Face family of the model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.adapters.lora import Factors
from model.adapters.merged import Adapters
from model.adapters.peft_keys import alpha_of, check_keys, rank_of
from model.config import ModelConfig
from model.huggingface.families import write_config
from model.huggingface.names import is_stacked, their_names
from model.huggingface.safetensors_folder import read_object
from model.weights import expected_shapes
from schemas.errors import InputError, OutputError

PEFT_CONFIG = "adapter_config.json"
PEFT_TENSORS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KINDS = {"lora_A.weight": "a", "lora_B.weight": "b", "lora_magnitude_vector": "magnitude"}
"""Ends of names there, and the fields of `Factors`."""
_OF_TRAINING = ".lora_velora_embed"
"""What VeLoRA keeps for its backward pass; forward it is LoRA."""
_ENDS_OF_MODEL = (f"{_PREFIX}lm_head.", f"{_PREFIX}model.embed_tokens.")


def write_lora(
    folder: Path,
    shape: ModelConfig,
    adapters: Adapters,
    *,
    rank: int,
    rslora: bool,
    base: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> int:
    """Write adapters for the model of that shape; returns how many numbers they have.

    `base` is what the file says about where the model lies. Ranks that a budget took away are left
    out. Raises UsageError for a shape that no family has, OutputError.
    """
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    scales: dict[str, float] = {}
    dora = False
    for layer, theirs in _their_layers(shape, adapters).items():
        factors = _folded(adapters[layer]())
        ranks[theirs], scales[theirs] = len(factors.a), factors.scale
        dora = dora or factors.magnitude is not None
        for end, field in _KINDS.items():
            tensor = getattr(factors, field)
            if tensor is not None:
                tensors[f"{_PREFIX}{theirs}.{end}"] = tensor.detach().to("cpu", dtype).contiguous()
    alphas = {n: scales[n] * (r**0.5 if rslora else r) for n, r in ranks.items()}
    alpha = next(iter(scales.values())) * (rank**0.5 if rslora else rank)
    keys = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": float(f"{alpha:.12g}"),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": rslora,
        "use_dora": dora,
        "target_modules": list(ranks),
        "rank_pattern": {name: r for name, r in ranks.items() if r != rank},
        "alpha_pattern": {name: alphas[name] for name, r in ranks.items() if r != rank},
        "modules_to_save": None,
    }
    write_folder(folder, keys, tensors)
    return sum(tensor.numel() for tensor in tensors.values())


def _folded(factors: Factors) -> Factors:
    """The same without Lambda, and without the ranks that it has no number for; one stays."""
    if factors.e is None:
        return factors
    kept = factors.e.nonzero().flatten()
    kept = kept if len(kept) else torch.zeros(1, dtype=torch.long)
    a = factors.e.float()[kept, None] * factors.a.float()[kept]
    return Factors(a, factors.b[:, kept], factors.scale)


def read_lora(folder: Path, shape: ModelConfig) -> tuple[dict[str, Any], Adapters]:
    """The keys of adapter_config.json and the adapters, by the names of the model of that shape.

    Raises InputError for what is damaged, does not fit, or is more than LoRA on linear layers.
    """
    path = folder / PEFT_CONFIG
    keys = read_object(path)
    check_keys(keys, path)
    stored = StoredPeft(folder)
    ours = {theirs: layer for layer, theirs in _every_layer(shape).items()}
    fields = _fields(stored, ours, expected_shapes(shape))
    dora = bool(keys.get("use_dora"))
    for layer, found in fields.items():
        if "magnitude" in found and not dora:
            raise InputError(
                f"{stored.path}: {_name(layer, 'magnitude')}: use_dora is not set in {PEFT_CONFIG}"
            )
        if found != {"a", "b", *(["magnitude"] if dora else [])}:
            raise InputError(f"{stored.path}: {layer} lacks a tensor of its adapter")
        _check_rank(stored, layer, rank_of(layer, keys))
    return keys, {ours[n]: partial(_read_factors, stored, n, keys, fields[n]) for n in fields}


def _fields(
    stored: StoredPeft, ours: Mapping[str, str], shapes: Mapping[str, torch.Size]
) -> dict[str, set[str]]:
    """Fields of `Factors` that there are, by the layers' names there."""
    fields: dict[str, set[str]] = {}
    for name, size in stored.shapes.items():
        if name.endswith(_OF_TRAINING):
            continue
        layer, field = _split(name)
        if name.startswith(_ENDS_OF_MODEL):
            raise InputError(
                f"{stored.path}: {name} is of embedding or head; only linear layers of attention "
                "and feed-forward are read"
            )
        if layer not in ours or field is None:
            raise InputError(f"{stored.path}: {name} has no place in this model")
        outputs, inputs = shapes[f"{ours[layer]}.weight"]
        fits = {
            "a": len(size) == 2 and size[1] == inputs,
            "b": len(size) == 2 and size[0] == outputs,
            "magnitude": size == [outputs],
        }
        if not fits[field]:
            raise InputError(
                f"{stored.path}: {name} has the shape {size}, which does not fit a layer from "
                f"{inputs} to {outputs} numbers: is it another model's?"
            )
        fields.setdefault(layer, set()).add(field)
    if not fields:
        raise InputError(f"{stored.path}: holds no adapters")
    return fields


def _check_rank(stored: StoredPeft, layer: str, rank: int) -> None:
    for field, axis in (("a", 0), ("b", 1)):
        name = _name(layer, field)
        found = stored.shapes[name][axis]
        if found != rank:
            raise InputError(
                f"{stored.path}: {name} has rank {found}, {PEFT_CONFIG} says {rank} (r, "
                "rank_pattern)"
            )


def _read_factors(stored: StoredPeft, name: str, keys: dict[str, Any], fields: set[str]) -> Factors:
    read = {
        field: stored.tensor(f"{_PREFIX}{name}.{end}")
        for end, field in _KINDS.items()
        if field in fields
    }
    alpha = alpha_of(name, keys)
    rank = len(read["a"])
    scale = alpha / (math.sqrt(rank) if keys.get("use_rslora") else rank)
    return Factors(read["a"], read["b"], scale, None, read.get("magnitude"))


def _every_layer(shape: ModelConfig) -> dict[str, str]:
    names = expected_shapes(shape)
    return _their_layers(
        shape,
        [
            name.removesuffix(".weight")
            for name, size in names.items()
            if name.startswith("layers.") and len(size) == 2 and ".router." not in name
        ],
    )


def _their_layers(shape: ModelConfig, layers: Iterable[str]) -> dict[str, str]:
    """Ours -> theirs. Raises UsageError for a shape that no family has."""
    family, _ = write_config(shape)
    return {
        layer: their_names(f"{layer}.weight", shape, family)[0].removesuffix(".weight")
        for layer in layers
        if not is_stacked(f"{layer}.weight")
    }


def _name(layer: str, field: str) -> str:
    """The name there of a layer's tensor."""
    (end,) = (end for end, kind in _KINDS.items() if kind == field)
    return f"{_PREFIX}{layer}.{end}"


def _split(name: str) -> tuple[str, str | None]:
    """(layer there, field of `Factors`)."""
    for end, field in _KINDS.items():
        if name.startswith(_PREFIX) and name.endswith(f".{end}"):
            return name.removeprefix(_PREFIX).removesuffix(f".{end}"), field
    return name, None


class StoredPeft:
    """adapter_model.safetensors."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError when it is missing or damaged."""
        self.path = folder / PEFT_TENSORS
        try:
            self._file = safe_open(self.path, framework="pt", device="cpu")
        except FileNotFoundError as error:
            raise InputError(
                f"{self.path}: is missing; convert other formats to safetensors first"
            ) from error
        except (OSError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.path}: is no whole safetensors file: {reason}") from error
        self.shapes = {n: self._file.get_slice(n).get_shape() for n in self._file.keys()}  # noqa: SIM118

    def tensor(self, name: str) -> Tensor:
        """A whole tensor. Raises InputError."""
        try:
            tensor: Tensor = self._file.get_tensor(name)
        except SafetensorError as error:
            raise InputError(f"{self.path}: {name} cannot be read: {error}") from error
        return tensor


def write_folder(folder: Path, keys: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / PEFT_TENSORS, metadata={"format": "pt"})
        (folder / PEFT_CONFIG).write_text(json.dumps(keys, indent=2) + "\n", "utf-8")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OutputError(f"{folder}: cannot be written: {reason}") from error
