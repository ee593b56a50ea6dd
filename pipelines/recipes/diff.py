"""What two recipes decide differently, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from schemas.recipe import Recipe

ORDER = "quality (order)"
_PROSE = frozenset({"description", "sources"})


class Change(NamedTuple):
    """A key whose value differs; None where a recipe does not have the key."""

    key: str
    """Dotted, as `--set` takes it; a rule or an edit by its name: `quality.RULE.max`."""
    before: Any
    after: Any


def changes(before: Recipe, after: Recipe) -> list[Change]:
    """Every key that differs, in the order of the recipe; descriptions and sources, which decide
    nothing, are left out."""
    left, right = _flat(before), _flat(after)
    keys = dict.fromkeys([*left, *right])
    found = [
        Change(key, left.get(key), right.get(key))
        for key in keys
        if left.get(key) != right.get(key)
    ]
    order = _shared_order(before, after), _shared_order(after, before)
    if order[0] != order[1]:
        found.append(Change(ORDER, *order))
    return found


def _flat(recipe: Recipe) -> dict[str, Any]:
    tree = recipe.model_dump(mode="json", exclude={*_PROSE, "quality"})
    flat = dict(_leaves(tree, ""))
    for name, step in _steps(recipe).items():
        flat.update(_leaves(step, f"quality.{name}"))
    return flat


def _leaves(tree: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        dotted = f"{place}.{key}" if place else key
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, dotted)
        else:
            yield dotted, value


def _steps(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Quality steps by name; an edit that comes a second time gets a number."""
    steps: dict[str, dict[str, Any]] = {}
    for step in recipe.quality:
        content = step.model_dump(mode="json", exclude={"source"})
        base = name = str(content.get("rule") or content.get("edit"))
        count = 1
        while name in steps:
            count += 1
            name = f"{base}#{count}"
        steps[name] = content
    return steps


def _shared_order(recipe: Recipe, other: Recipe) -> list[str]:
    names = _steps(other)
    return [name for name in _steps(recipe) if name in names]
