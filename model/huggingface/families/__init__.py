"""The families that are read and written: one file each, and a line here."""

from __future__ import annotations

from pathlib import Path

from model.config import ModelConfig
from model.huggingface.families.llama import LLAMA
from model.huggingface.families.mistral import MISTRAL
from model.huggingface.families.mixtral import MIXTRAL
from model.huggingface.families.qwen2 import QWEN2
from model.huggingface.families.qwen3 import QWEN3
from model.huggingface.families.qwen3_moe import QWEN3_MOE
from model.huggingface.family import Family, Keys, features, read_shared, write_shared
from schemas.checked import checked
from schemas.errors import InputError, UsageError

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (LLAMA, QWEN2, QWEN3, MISTRAL, MIXTRAL, QWEN3_MOE)
}
"""By `model_type`. The first one that fits a model is the one it is written as."""


def read_config(keys: Keys, path: Path) -> tuple[Family, ModelConfig]:
    """Family and shape of a config.json. Raises InputError for what is not known here."""
    family = FAMILIES.get(str(keys.get("model_type")))
    if family is None:
        raise InputError(
            f"{path}: model_type {keys.get('model_type')!r} is none of {', '.join(FAMILIES)}"
        )
    found = {**read_shared(keys, str(path), family), **family.read(keys, str(path))}
    try:
        return family, checked(ModelConfig, found, str(path))
    except UsageError as error:
        raise InputError(str(error)) from error


def write_config(config: ModelConfig) -> tuple[Family, Keys]:
    """The family that a model is written as, and its config.json.

    Raises UsageError that names the key which no family has.
    """
    wanted = features(config)

    def distance(family: Family) -> tuple[int, int]:
        misfits = family.misfits(wanted)
        return len(misfits), len(misfits & family.always)

    family = min(FAMILIES.values(), key=distance)
    misfits = family.misfits(wanted)
    if misfits:
        key = min(misfits)
        others = ", ".join(sorted(wanted - {key}))
        beside = f" beside {others}" if others else ""
        verb = "always has" if key in family.always else "does not have"
        raise UsageError(
            f"model.{key}: no Hugging Face family fits{beside}; the nearest one, "
            f"{family.model_type}, {verb} it"
        )
    return family, {**write_shared(config, family), **family.write(config)}
