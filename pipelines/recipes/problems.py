"""What is wrong with a recipe's tree, in one line that names the key and what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from schemas.errors import UsageError
from schemas.recipe import Edit, Recipe, Rule


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section a field holds, or its list's items are; None for plain values."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def model_of_step(step: Mapping[str, Any]) -> type[BaseModel]:
    """Whether an item of `quality` is meant as an edit or as a rule."""
    return Edit if "edit" in step else Rule


def unknown_key(origin: str, place: str, key: str, allowed: Collection[str]) -> UsageError:
    """The error for a key that does not exist, with the closest one that does."""
    close = get_close_matches(key, allowed, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    dotted = f"{place}.{key}" if place else key
    return UsageError(f"{origin}: unknown key {dotted}; {hint}allowed: {', '.join(allowed)}")


def _model_of_item(place: str, field: FieldInfo, item: object) -> type[BaseModel] | None:
    """The section that an item of a list is meant as; None for plain values."""
    if not isinstance(item, Mapping):
        return None
    return model_of_step(item) if place == "quality" else section_of(field)


def _walk(tree: Mapping[str, Any], model: type[BaseModel], place: str, origin: str) -> None:
    for key, value in tree.items():
        if key not in model.model_fields:
            raise unknown_key(origin, place, str(key), model.model_fields)
        field = model.model_fields[key]
        inner = f"{place}.{key}" if place else key
        if isinstance(value, Mapping):
            section = section_of(field)
            if section is not None:
                _walk(value, section, inner, origin)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                item_model = _model_of_item(inner, field, item)
                if item_model is not None:
                    _walk(item, item_model, f"{inner}[{index}]", origin)


def refuse_unknown_keys(tree: Mapping[str, Any], origin: str) -> None:
    """Raises UsageError for the first key, at any depth, that a recipe does not have."""
    _walk(tree, Recipe, "", origin)


def _dotted(location: tuple[int | str, ...]) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return parts.lstrip(".")


def describe(error: ValidationError, tree: Mapping[str, Any]) -> str:
    """The first problem of a validation as `key: problem (got value)`.

    An item of `quality` is tried as a rule and as an edit; only the problems of what it is meant
    as are looked at.
    """
    problems = error.errors(include_url=False)
    for problem in problems:
        location = problem["loc"]
        if location[:1] == ("quality",) and len(location) > 2:
            step = tree["quality"][location[1]]
            meant = model_of_step(step) if isinstance(step, Mapping) else Rule
            if meant.__name__ not in str(location[2]):
                continue
            location = (*location[:2], *location[3:])
        got = problem["input"]
        shown = f" (got {got!r})" if isinstance(got, str | int | float | list | None) else ""
        return f"{_dotted(location)}: {problem['msg']}{shown}"
    return str(problems[0]["msg"])
