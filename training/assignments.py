"""`a.b.c=value` put into a tree of keys."""

from __future__ import annotations

from typing import Any

import yaml

from schemas.errors import UsageError
from schemas.yaml_text import parse


def assign(tree: dict[str, Any], assignment: str, origin: str) -> None:
    """Set the key in place, making sections on the way; the value is YAML.

    Raises UsageError, naming `origin`, for a missing `=`, a value that is no YAML, and a key below
    something that is no section.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip("."):
        raise UsageError(f"{origin} {assignment}: write key=value, for example nodes=2")
    try:
        value = parse(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{origin} {assignment}: the value is not YAML") from error
    *sections, last = key.strip().split(".")
    for depth, name in enumerate(sections, start=1):
        if tree.get(name) is None:
            tree[name] = {}
        tree = tree[name]
        if not isinstance(tree, dict):
            place = ".".join(sections[:depth])
            raise UsageError(f"{origin} {assignment}: {place} holds a value, not keys")
    tree[last] = value
