"""Recipes by name or file: load, override, check."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from pipelines import storage
from pipelines.names import is_remote
from pipelines.recipes.overrides import apply_override
from pipelines.recipes.problems import describe, refuse_unknown_keys
from schemas.errors import InputError, UsageError
from schemas.recipe import Recipe
from schemas.yaml_text import parse_mapping
from stages import decide
from stages.dedup import curve
from stages.extract import validate_extract
from stages.language import LanguageIdentifier, model_path, validate_labels

__all__ = ["load", "names", "validate"]

_SUFFIX = ".yaml"


def names() -> list[str]:
    """The packaged recipes, in alphabetical order."""
    entries = (entry.name for entry in files("pipelines.recipes").iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in entries if name.endswith(_SUFFIX))


def _text_of(name_or_path: str) -> str:
    if name_or_path in names():
        return files("pipelines.recipes").joinpath(name_or_path + _SUFFIX).read_text("utf-8")
    if is_remote(name_or_path):
        return _stored_text(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        close = get_close_matches(name_or_path, names(), n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UsageError(
            f"no recipe {name_or_path!r}; {hint}packaged: {', '.join(names())}, or give a file"
        )
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _stored_text(path: str) -> str:
    try:
        return storage.read_bytes(path).decode("utf-8")
    except (InputError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path}: {error}") from error


def load(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """A packaged recipe by name, or any recipe by path, with `a.b.c=value` overrides applied.

    A value is YAML. A rule or edit is addressed by its name: `quality.RULE.max=0.2`,
    `quality.EDIT.options.NAME=value`. The override is noted as the value's source.

    Raises:
        UsageError: in one line, for an unknown recipe, a file that is no recipe, an unknown key,
            or a value that does not fit its key.
    """
    tree = parse_mapping(_text_of(name_or_path), name_or_path)
    refuse_unknown_keys(tree, name_or_path)
    for override in overrides:
        apply_override(tree, override)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise UsageError(f"{name_or_path}: {describe(error, tree)}") from None


def validate(recipe: Recipe) -> None:
    """Check what a well-formed recipe may still get wrong: quality steps, band settings, the
    extractor and its options, and that the language model knows the languages to keep.

    Raises UsageError naming the key and what is allowed, InputError for an unusable model file.
    """
    decide.validate(recipe.quality)
    validate_extract(recipe.extract)
    identifier = LanguageIdentifier(model_path(recipe.language.model))
    validate_labels(recipe.language, identifier.labels)
    if recipe.dedup.minhash is not None:
        curve.check(recipe.dedup.minhash)
