from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.recipes import load
from pipelines.recipes.diff import ORDER, Change, changes


def test_a_recipe_does_not_differ_from_itself() -> None:
    assert changes(load("fineweb"), load("fineweb")) == []


@pytest.mark.parametrize(
    ("override", "change"),
    [
        ("language.threshold=0.8", Change("language.threshold", 0.65, 0.8)),
        ("language.keep.de=0.5", Change("language.keep.de", None, 0.5)),
        ("url.lists=[{file: a, kind: words}]", None),
        (
            "quality.gopher_quality.words_min.min=30",
            Change("quality.gopher_quality.words_min.min", 50.0, 30.0),
        ),
        (
            "quality.c4_lines.options.min_words_per_line=5",
            Change("quality.c4_lines.options.min_words_per_line", 3, 5),
        ),
    ],
)
def test_an_override_is_the_one_change(override: str, change: Change | None) -> None:
    found = changes(load("fineweb"), load("fineweb", [override]))
    assert len(found) == 1
    assert change in (None, found[0])


def test_prose_is_no_change() -> None:
    recipe = load("gopher")
    other = recipe.model_copy(update={"description": "other words", "sources": {}})
    assert changes(recipe, other) == []


def test_another_order_of_rules_is_a_change() -> None:
    recipe = load("gopher")
    other = recipe.model_copy(update={"quality": recipe.quality[::-1]})
    (change,) = changes(recipe, other)
    assert change.key == ORDER
    assert change.after == change.before[::-1]


def test_a_rule_that_one_recipe_lacks_is_absent_on_its_side() -> None:
    recipe = load("gopher")
    other = recipe.model_copy(update={"quality": recipe.quality[1:]})
    found = {change.key: change for change in changes(recipe, other)}
    key = "quality.gopher_quality.words_min.min"
    assert found[key] == Change(key, 50.0, None)
    assert all(change.after is None for change in found.values())


def test_the_command_prints_both_values() -> None:
    shown = CliRunner().invoke(app, ["recipes", "diff", "gopher", "demo"])
    assert shown.exit_code == 0
    assert "language.threshold: 0.65 -> 0.5" in shown.stdout.splitlines()
    shown = CliRunner().invoke(app, ["recipes", "diff", "gopher", "demo", "--json"])
    rows = {row["key"]: row for row in json.loads(shown.stdout)}
    assert rows["language.threshold"] == {
        "key": "language.threshold",
        "before": 0.65,
        "after": 0.5,
    }
