"""A tree of keys checked against a model: the first problem in one line that names the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import UsageError
from schemas.secret_names import looks_secret

_Model = TypeVar("_Model", bound=BaseModel)
_Location = Sequence[int | str]


def checked(model: type[_Model], tree: Mapping[str, Any], origin: str) -> _Model:
    """The tree as a `model`. Raises UsageError, which names `origin` (a file), the key, what is
    wrong with it and, for a key that does not exist, the ones that do."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # A misspelt key also leaves the right one missing: the spelling is what to mend.
        problem = min(problems, key=lambda p: p["type"] != "extra_forbidden")
        raise UsageError(f"{origin}: {_describe(model, problem)}") from None


def dotted(location: _Location) -> str:
    """`("secrets", 0, "name")` as `secrets[0].name`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".")


def _describe(model: type[BaseModel], problem: ErrorDetails) -> str:
    location = problem["loc"]
    if problem["type"] == "extra_forbidden":
        allowed = list(_model_at(model, location[:-1]).model_fields)
        close = get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"unknown key {dotted(location)}; {hint}allowed: {', '.join(allowed)}"
    message = problem["msg"].removeprefix("Value error, ")
    if not location:
        return message
    value = problem["input"]
    shown = isinstance(value, str | int | float | None) and not looks_secret(str(value))
    got = f" (got {value!r})" if shown and problem["type"] != "missing" else ""
    return f"{dotted(location)}: {message}{got}"


def _model_at(model: type[BaseModel], location: _Location) -> type[BaseModel]:
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation holds: itself, optional, or as items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in get_args(annotation))
    return next((found for found in inner if found is not None), None)
