"""Every number of a packaged recipe has a source, and published thresholds stay as published."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from pipelines.recipes import load, names, validate
from pipelines.recipes.problems import section_of
from schemas.recipe import Edit, Recipe, Rule


def tree(name: str) -> dict[str, Any]:
    text = files("pipelines.recipes").joinpath(f"{name}.yaml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def numbers(node: object, path: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from numbers(value, path)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path


def missing_keys(node: dict[str, Any], model: type[BaseModel], path: str = "") -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key not in node:
            yield f"{path}{key}"
        elif isinstance(node[key], dict) and (section := section_of(field)) is not None:
            yield from missing_keys(node[key], section, f"{path}{key}.")


@pytest.mark.parametrize("name", names())
def test_every_number_has_a_source(name: str) -> None:
    content = tree(name)
    sources = content.pop("sources")
    steps = content.pop("quality")
    del content["version"]
    assert all(step["source"].strip() for step in steps)
    found = set(numbers(content))
    for path in found:
        parts = path.split(".")
        assert any(".".join(parts[:depth]) in sources for depth in range(1, len(parts) + 1)), path
    for key in sources:
        assert any(path == key or path.startswith(key + ".") for path in found), f"stale: {key}"


@pytest.mark.parametrize("name", names())
def test_a_recipe_is_whole_and_valid(name: str) -> None:
    assert list(missing_keys(tree(name), Recipe)) == []
    recipe = load(name)
    assert recipe.name == name
    validate(recipe)


def bounds(name: str) -> dict[str, tuple[str, float]]:
    """Signal and bound -> threshold; the family in front of a signal is left away."""
    found: dict[str, tuple[str, float]] = {}
    for step in load(name).quality:
        if isinstance(step, Rule):
            for bound in ("min", "max", "above", "below"):
                value = getattr(step, bound)
                if value is not None:
                    key = f"{step.signal.partition('.')[2]} {bound}"
                    assert key not in found
                    found[key] = (step.signal.partition(".")[0], value)
    return found


REPETITION = {
    "dup_line_frac max": 0.30,
    "dup_para_frac max": 0.30,
    "dup_line_char_frac max": 0.20,
    "dup_para_char_frac max": 0.20,
    "top_2gram_char_frac max": 0.20,
    "top_3gram_char_frac max": 0.18,
    "top_4gram_char_frac max": 0.16,
    "dup_5gram_char_frac max": 0.15,
    "dup_6gram_char_frac max": 0.14,
    "dup_7gram_char_frac max": 0.13,
    "dup_8gram_char_frac max": 0.12,
    "dup_9gram_char_frac max": 0.11,
    "dup_10gram_char_frac max": 0.10,
}
QUALITY = {
    "n_words min": 50,
    "n_words max": 100_000,
    "mean_word_length min": 3,
    "mean_word_length max": 10,
    "hash_ratio max": 0.1,
    "ellipsis_ratio max": 0.1,
    "bullet_line_frac max": 0.9,
    "ellipsis_line_frac max": 0.3,
    "alpha_word_frac min": 0.8,
    "n_stop_words min": 2,
}
FINEWEB = {
    "lorem_ipsum max": 0,
    "curly_bracket max": 0,
    "n_sentences min": 5,
    "line_punct_ratio min": 0.12,
    "short_line_ratio max": 0.67,
    "char_dup_ratio max": 0.01,
    "list_ratio max": 0.3,
}


def test_fineweb_thresholds_as_run() -> None:
    found = bounds("fineweb")
    assert {key: value for key, (_, value) in found.items()} == REPETITION | QUALITY | FINEWEB
    assert {found[key][0] for key in REPETITION} == {"gopher_repetition"}
    assert {found[key][0] for key in QUALITY} == {"gopher_quality"}


def test_fineweb_runs_in_the_order_of_its_pipeline() -> None:
    families: list[str] = []
    for step in load("fineweb").quality:
        family = step.edit if isinstance(step, Edit) else step.signal.partition(".")[0]
        if family not in families[-1:]:
            families.append(family)
    assert families == ["gopher_repetition", "gopher_quality", "c4_lines", "c4", "fineweb"]


def test_fineweb_settings_as_run() -> None:
    recipe = load("fineweb")
    assert recipe.language.keep == {"en": 0.65}
    assert not recipe.language.inclusive
    assert (recipe.extract.name, recipe.extract.favor) == ("trafilatura", "precision")
    assert recipe.extract.deduplicate
    assert not recipe.extract.include_comments
    assert (recipe.url.blocklist, recipe.url.soft_words_min) == ("fineweb", 2)
    assert recipe.url.hard_words
    assert recipe.url.substrings
    minhash = recipe.dedup.minhash
    assert minhash is not None
    assert (minhash.bands, minhash.rows, minhash.ngram) == (14, 8, 5)
    edit = next(step for step in recipe.quality if isinstance(step, Edit))
    assert edit.options["min_words_per_line"] == 3
    assert edit.options["terminal_punctuation"] is False


def test_gopher_thresholds_are_massivetexts() -> None:
    found = bounds("gopher")
    assert {key: value for key, (_, value) in found.items()} == REPETITION | QUALITY
    assert {family for family, _ in found.values()} == {
        "gopher_repetition_paper",
        "gopher_quality_paper",
    }


def test_gopher_bands_find_what_the_paper_calls_a_duplicate() -> None:
    minhash = load("gopher").dedup.minhash
    assert minhash is not None
    assert minhash.ngram == 13
    # 0.8^10 = 0.10737; 1 - (1 - 0.10737)^22 = 0.9178
    assert 1 - (1 - 0.8**minhash.rows) ** minhash.bands == pytest.approx(0.918, abs=0.001)


def test_c4_thresholds() -> None:
    recipe = load("c4")
    assert {key: value for key, (_, value) in bounds("c4").items()} == {
        "n_chars max": 190_000,
        "lorem_ipsum max": 0,
        "curly_bracket max": 0,
        "n_bad_words max": 0,
        "n_sentences min": 3,
    }
    edit = next(step for step in recipe.quality if isinstance(step, Edit))
    assert edit.options["min_words_per_line"] == 5
    assert edit.options["terminal_punctuation"] is True
    assert edit.options["max_word_chars"] == 1000
    assert recipe.language.keep == {"en": 0.99}
    assert recipe.language.inclusive
    assert recipe.dedup.minhash is None


def test_demo_asks_nothing_of_a_script() -> None:
    recipe = load("demo")
    assert recipe.language.keep is None
    english = [s.rule for s in recipe.quality if isinstance(s, Rule) and s.languages == ["en"]]
    assert english == ["gopher_quality.stop_words"]
    assert "mean_word_length min" not in bounds("demo")
