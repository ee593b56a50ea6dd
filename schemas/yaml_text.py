"""YAML as files and `key=value` overrides of this project write it."""

from __future__ import annotations

from typing import Any

import yaml

from schemas.errors import UsageError

_BOOLEAN_TAG = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with 1.2's booleans, so that the language `no` stays a string; a key given twice
    is an error instead of a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            seen: set[Any] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node)
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(key)
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN_TAG or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str) -> Any:
    """The value of a YAML document, as plain Python values. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)


def parse_mapping(text: str, origin: str) -> dict[str, Any]:
    """The keys of a YAML document. Raises UsageError, naming `origin`, for anything else."""
    try:
        tree = parse(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{origin}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise UsageError(f"{origin}: a mapping of keys is needed, not {type(tree).__name__}")
    return tree
