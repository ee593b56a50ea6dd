"""Adapters in the format of peft, of whatever kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.adapters.merged import MergedWeights
from model.adapters.peft_lora import PEFT_CONFIG, read_lora
from model.adapters.peft_virtual import PREFIX, PROMPT, read_virtual
from model.adapters.prompted import PromptedWeights
from model.adapters.record import Opener
from model.huggingface.reading import CONFIG
from model.huggingface.safetensors_folder import read_object
from model.weights import Weights
from schemas.errors import InputError


def open_peft(folder: Path, opener: Opener, base: Path | None = None) -> Weights:
    """The model that adapters in peft's format make of `base`, by default of the folder that they
    name. Raises InputError."""
    path = folder / PEFT_CONFIG
    keys = read_object(path)
    kind = KINDS.get(str(keys.get("peft_type")))
    if kind is None:
        raise InputError(
            f"{path}: peft_type {keys.get('peft_type')!r} is none of {', '.join(KINDS)}"
        )
    return kind(folder, opener(base or base_of(folder)))


def base_of(folder: Path) -> Path:
    """The folder of the model that adapters name. Raises InputError where it is none."""
    path = folder / PEFT_CONFIG
    named = read_object(path).get("base_model_name_or_path")
    if not isinstance(named, str) or not Path(named).is_dir():
        raise InputError(
            f"{path}: base_model_name_or_path {named!r} is no folder here; name the folder of the "
            "model there, or import with --base"
        )
    if Path(named).samefile(folder) and not (folder / CONFIG).exists():
        raise InputError(
            f"{path}: base_model_name_or_path {named!r} holds adapters, no model; name the folder "
            "of the model there"
        )
    return Path(named)


def _lora(folder: Path, base: Weights) -> Weights:
    _, adapters = read_lora(folder, base.config)
    return MergedWeights(folder, base.config, base, adapters)


def _virtual(folder: Path, base: Weights) -> Weights:
    prompt, tokens = read_virtual(folder, base.config)
    return PromptedWeights(folder, base.config, base, prompt, tokens)


Kind = Callable[[Path, Weights], Any]

KINDS: dict[str, Kind] = {"LORA": _lora, PROMPT: _virtual, PREFIX: _virtual}
"""By peft_type."""
