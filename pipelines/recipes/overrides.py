"""Overrides of a recipe from the command line: `a.b.c=value`."""

from __future__ import annotations

from collections.abc import MutableMapping
from difflib import get_close_matches
from typing import Any

import yaml
from pydantic import BaseModel

from pipelines.recipes.problems import model_of_step, section_of, unknown_key
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.yaml_text import parse

_STEPS = "quality"


def _step_name(step: MutableMapping[str, Any]) -> str:
    return str(step.get("rule", step.get("edit", "")))


def _set(
    tree: MutableMapping[str, Any], model: type[BaseModel], keys: list[str], value: Any, place: str
) -> None:
    """Set a key below a section, creating sections that were null or absent."""
    for depth, key in enumerate(keys):
        if key not in model.model_fields:
            raise unknown_key("--set", place, key, model.model_fields)
        rest = keys[depth + 1 :]
        place = f"{place}.{key}" if place else key
        if not rest:
            tree[key] = value
            return
        section = section_of(model.model_fields[key])
        if not isinstance(tree.get(key), MutableMapping):
            tree[key] = {}
        tree = tree[key]
        if section is None:
            _set_in_mapping(tree, model.model_fields[key].annotation, rest, value, place)
            return
        model = section


def _set_in_mapping(
    tree: MutableMapping[str, Any], annotation: object, rest: list[str], value: Any, place: str
) -> None:
    """Set an entry of a free mapping, such as language.keep, whose keys may hold dots."""
    if "dict" not in str(annotation):
        raise UsageError(f"--set {place}.{'.'.join(rest)}: {place} holds a value, not keys")
    tree[".".join(rest)] = value


def _set_in_step(tree: MutableMapping[str, Any], key: str, value: Any, override: str) -> None:
    """Set a field of the rule or edit whose name `key` starts with; names may hold dots."""
    steps = [step for step in tree.get(_STEPS) or [] if isinstance(step, MutableMapping)]
    named = [step for step in steps if key.startswith(_step_name(step) + ".")]
    if not named:
        known = sorted({_step_name(step) for step in steps})
        close = get_close_matches(key.rpartition(".")[0], known, n=1)
        hint = f"did you mean {_STEPS}.{close[0]}? " if close else ""
        raise UsageError(
            f"--set {override}: no rule or edit of that name; {hint}"
            f"this recipe has: {', '.join(known) or 'none'}"
        )
    step = max(named, key=lambda candidate: len(_step_name(candidate)))
    field = key.removeprefix(_step_name(step) + ".")
    _set(step, model_of_step(step), field.split("."), value, f"{_STEPS}.{_step_name(step)}")
    if field != "source":
        step["source"] = f"--set {override}; before: {step.get('source', '')}"


def apply_override(tree: MutableMapping[str, Any], override: str) -> None:
    """Apply one `key=value` to a recipe's tree, in place; the value is YAML.

    Raises UsageError for a missing `=`, a value that is no YAML and an unknown key.
    """
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"--set {override}: write key=value, for example language.threshold=0.5")
    try:
        value = parse(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {override}: the value is not YAML") from error
    if key.startswith(_STEPS + "."):
        _set_in_step(tree, key.removeprefix(_STEPS + "."), value, override)
        return
    _set(tree, Recipe, key.split("."), value, "")
    if not key.startswith("sources"):
        tree["sources"] = {**(tree.get("sources") or {}), key: f"--set {override}"}
