"""What `adapter_config.json` says of a LoRA adapter; options are those of peft 0.21."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import InputError

PLAIN: dict[str, object] = {
    "bias": "none",
    "lora_bias": False,
    "modules_to_save": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "layer_replication": None,
    "use_qalora": False,
    "alora_invocation_tokens": None,
    "use_bdlora": None,
    "arrow_config": None,
    "kasa_config": None,
    "monteclora_config": None,
}
"""Options that make more of an adapter than LoRA on linear layers, and what they are in LoRA."""

CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of `init_lora_weights` for which peft changes the base whenever it loads."""

READ = {
    *("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora"),
    *("base_model_name_or_path", "init_lora_weights"),
}
"""Options that are read."""

HARMLESS = {
    # Which layers have adapters; the file of tensors says it, too.
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    # Of training, of starts that leave the base alone, and of how peft runs.
    *("lora_dropout", "eva_config", "corda_config", "lora_ga_config", "loftq_config"),
    *("velora_config", "qalora_group_size", "ensure_weight_tying", "megatron_config"),
    *("megatron_core", "runtime_config", "inference_mode", "task_type", "auto_mapping"),
    *("revision", "peft_version"),
    # peft turns it off for linear layers.
    "fan_in_fan_out",
}
"""Options without a say in what the tensors of an adapter mean."""


def check_keys(keys: Mapping[str, Any], path: Path) -> None:
    """Raises InputError for what is no LoRA, or more than that; `path` is that of the file."""
    if keys.get("peft_type") != "LORA":
        raise InputError(f"{path}: peft_type {keys.get('peft_type')!r}: only LORA is read here")
    for name, plain in PLAIN.items():
        if keys.get(name, plain) not in (plain, None, [], {}):
            raise InputError(f"{path}: {name} {keys[name]!r} is not known here")
    start = keys.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGED_BASE):
        raise InputError(
            f"{path}: init_lora_weights {start!r} belongs to a base that peft changes when it "
            "loads: save the adapter with path_initial_model_for_weight_conversion, or merge it, "
            "with peft"
        )
    if not _is_number(keys.get("lora_alpha")):
        raise InputError(f"{path}: lora_alpha is missing or no number")
    if not _is_rank(keys.get("r")):
        raise InputError(f"{path}: r {keys.get('r')!r} is no rank")
    for name, fits in (("alpha_pattern", _is_number), ("rank_pattern", _is_rank)):
        for pattern, value in _patterns(keys, name, path):
            if not fits(value) or not _is_expression(pattern):
                raise InputError(f"{path}: {name}: {pattern!r}: {value!r} cannot be used")


def rank_of(layer: str, keys: Mapping[str, Any]) -> int:
    """The rank of a layer, by its name there."""
    return int(_matched(layer, keys.get("rank_pattern"), keys["r"]))


def alpha_of(layer: str, keys: Mapping[str, Any]) -> float:
    """The alpha of a layer, by its name there."""
    return float(_matched(layer, keys.get("alpha_pattern"), keys["lora_alpha"]))


def _matched(layer: str, patterns: Mapping[str, Any] | None, default: Any) -> Any:
    """Patterns are expressions for names or their last parts; the first counts (peft's
    `get_pattern_key`)."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            return value
    return default


def _patterns(keys: Mapping[str, Any], name: str, path: Path) -> Iterator[tuple[str, Any]]:
    found = keys.get(name) or {}
    if not isinstance(found, dict):
        raise InputError(f"{path}: {name} is no object")
    yield from found.items()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_expression(pattern: str) -> bool:
    try:
        re.compile(f"({pattern})")
    except re.error:
        return False
    return True
