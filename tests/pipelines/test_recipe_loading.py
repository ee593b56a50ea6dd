from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.recipes import load, names, validate
from schemas.errors import UsageError
from schemas.recipe import Edit, Rule

HEAD = "name: mine\ndescription: a test\n"


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(HEAD + text, "utf-8")
    return str(path)


def rule_named(recipe_rules: list[Rule | Edit], name: str) -> Rule:
    return next(s for s in recipe_rules if isinstance(s, Rule) and s.rule == name)


def test_packaged_names() -> None:
    assert {"c4", "demo", "fineweb", "gopher"} <= set(names())


def test_a_file_with_few_keys_gets_the_defaults(tmp_path: Path) -> None:
    recipe = load(write(tmp_path, "language:\n  keep: {no: 0.5}\n"))
    assert recipe.language.keep == {"no": 0.5}
    assert recipe.shards.seed == 1


def test_overrides() -> None:
    recipe = load(
        "fineweb",
        [
            "language.keep.de=0.5",
            "quality.gopher_quality.words_min.min=40",
            "quality.c4_lines.options.min_words_per_line=5",
            "dedup.minhash=null",
            "gate=null",
            "page.statuses=[200, 203]",
        ],
    )
    assert recipe.language.keep == {"en": 0.65, "de": 0.5}
    assert recipe.dedup.minhash is None
    assert recipe.gate is None
    assert recipe.page.statuses == [200, 203]
    changed = rule_named(recipe.quality, "gopher_quality.words_min")
    assert changed.min == 40
    assert changed.source.startswith("--set quality.gopher_quality.words_min.min=40")
    assert next(s for s in recipe.quality if isinstance(s, Edit)).options["min_words_per_line"] == 5
    assert recipe.sources["language.keep.de"] == "--set language.keep.de=0.5"
    assert recipe.hash() != load("fineweb").hash()


def test_a_section_that_was_null_can_be_set() -> None:
    minhash = load("c4", ["dedup.minhash.bands=20"]).dedup.minhash
    assert minhash is not None
    assert minhash.bands == 20


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("langage.threshold=1", r"unknown key langage; did you mean language\?"),
        ("language.treshold=1", r"unknown key language\.treshold; did you mean threshold\?"),
        ("quality.gopher_quality.word_min.min=1", r"did you mean quality\.gopher_quality\.words_"),
        ("quality.fineweb.list.maximum=1", r"unknown key quality\.fineweb\.list\.maximum"),
        ("name.of=1", "holds a value"),
        ("gate", "key=value"),
        ("gate=[", "not YAML"),
        ("shards.seed=often", r"shards\.seed: .*integer.*'often'"),
        ("dedup.keep=first", r"dedup\.keep: .*'longest'"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load("fineweb", [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("langauge: {}\n", r"unknown key langauge; did you mean language\?"),
        ("language: {treshold: 1}\n", r"did you mean threshold\?"),
        ("url: {lists: [{file: a, kinds: urls}]}\n", r"url\.lists\[0\]\.kinds"),
        ("quality: [{rule: a, signal: b, maxi: 1}]\n", r"quality\[0\]\.maxi; did you mean max\?"),
        ("quality: [{rule: a, signal: b, max: x, source: s}]\n", r"quality\[0\]\.max: .*'x'"),
        ("quality: [{rule: a, signal: b, source: s}]\n", "needs one of min, max, above, below"),
        ("quality: [{edit: a, options: 1, source: s}]\n", r"quality\[0\]\.options"),
        ("quality: [1]\n", r"quality\[0\]"),
        ("version: 1\nversion: 2\n", "'version' is given twice"),
        ("version: [\n", "not YAML"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


def test_unknown_recipes_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"did you mean fineweb\? packaged: c4, demo"):
        load("finewed")
    broken = tmp_path / "x.yaml"
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        load(str(broken))
    broken.write_text("- 1\n")
    with pytest.raises(UsageError, match="mapping"):
        load(str(broken))


def test_validate_finds_what_the_tree_allows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown signal 'b'"):
        validate(load(write(tmp_path, "quality: [{rule: a, signal: b, max: 1, source: s}]\n")))
    with pytest.raises(UsageError, match="allow_low_recall"):
        validate(load("fineweb", ["dedup.minhash.bands=2"]))
