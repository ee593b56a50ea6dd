from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from schemas.recipe import Edit, Rule
from stages import decide
from stages.signals import SIGNALS


def rule(name: str, signal: str, **options: object) -> Rule:
    return Rule.model_validate({"rule": name, "signal": signal, "source": "test", **options})


LINES = Edit(edit="c4_lines", options={"terminal_punctuation": False}, source="test")
WORDS = rule("words", "gopher_quality.n_words", min=3)
SENTENCES = rule("sentences", "c4.n_sentences", min=2)


@pytest.mark.parametrize(
    ("bound", "passing", "broken"),
    [
        ("min", (5, 6), (4,)),
        ("max", (5, 4), (6,)),
        ("above", (6,), (5, 4)),
        ("below", (4,), (5, 6)),
    ],
)
def test_bounds(bound: str, passing: tuple[float, ...], broken: tuple[float, ...]) -> None:
    step = rule("r", "basic.n_words", **{bound: 5})
    assert all(decide.broken_bound(step, value) is None for value in passing)
    assert all(decide.broken_bound(step, value) == 5 for value in broken)


def test_the_first_broken_rule_ends_the_run() -> None:
    steps = [rule("few", "basic.n_words", max=2, version=3), WORDS, LINES, SENTENCES]
    judgement = decide.judge("One two three.", steps, "en")
    assert judgement.rejection == ("quality", "few", 4.0, 2.0, 3, "")
    assert {name.split(".")[0] for name in judgement.signals} == {"basic"}
    assert judgement.text == "One two three."


def test_rules_after_an_edit_see_the_new_text() -> None:
    text = "One two three four five.\nshort. line.\nSix seven eight nine ten."
    judgement = decide.judge(text, [WORDS, LINES, SENTENCES], "en")
    assert judgement.rejection is None
    assert judgement.text == "One two three four five.\nSix seven eight nine ten."
    assert judgement.signals["c4.n_sentences"] == 2
    assert judgement.signals["gopher_quality.n_words"] == 12


def test_rules_for_other_languages_do_not_apply() -> None:
    steps = [rule("stops", "gopher_quality.n_stop_words", min=2, languages=["en"])]
    assert decide.judge("eins zwei", steps, "de").rejection is None
    assert decide.judge("eins zwei", steps, "de").signals == {}
    assert decide.judge("eins zwei", steps, "en").rejection is not None


def test_annotating_measures_everything_and_keeps_the_verdict() -> None:
    steps = [rule("few", "basic.n_words", max=2), LINES, rule("many", "c4.n_sentences", min=9)]
    judgement = decide.judge("One two three four five.\nshort", steps, "en", annotate=True)
    assert judgement.rejection is not None
    assert judgement.rejection.rule == "few"
    assert sorted(judgement.signals) == sorted(SIGNALS)
    assert judgement.text == "One two three four five."
    assert judgement.signals["basic.n_words"] == 7


@given(st.text(st.sampled_from("ab. \n{"), max_size=60))
def test_annotation_never_changes_a_verdict(text: str) -> None:
    steps = [WORDS, LINES, SENTENCES, rule("brackets", "c4.curly_bracket", max=0)]
    plain = decide.judge(text, steps, "en")
    annotated = decide.judge(text, steps, "en", annotate=True)
    assert plain.rejection == annotated.rejection
    assert plain.signals.items() <= annotated.signals.items()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([rule("r", "c4.n_sentence", min=1)], r"did you mean c4\.n_sentences\?"),
        ([rule("r", "nothing", min=1)], r"unknown signal 'nothing'.*basic\.n_chars"),
        ([Edit(edit="c4_line", source="s")], r"did you mean c4_lines\?"),
        (
            [Edit(edit="c4_lines", options={"min_words": 3}, source="s")],
            r"unknown option 'min_words'.*min_words_per_line",
        ),
        (
            [Edit(edit="c4_lines", options={"min_words_per_line": "many"}, source="s")],
            r"options\.min_words_per_line: .*integer",
        ),
        ([WORDS, WORDS], r"quality\[1\] \(rule words\).*unique"),
        ([SENTENCES, LINES, rule("again", "c4.lorem_ipsum", max=0)], "before and after an edit"),
        ([rule("r", "basic.n_words", min=3, max=2)], "no value"),
        ([rule("r", "basic.n_words", min=3, below=3)], "no value"),
    ],
)
def test_mistakes_are_named_before_work_starts(steps: list[Rule | Edit], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        decide.validate(steps)
    assert "\n" not in str(caught.value)


def test_good_steps_validate() -> None:
    decide.validate([WORDS, LINES, SENTENCES, rule("one", "basic.n_words", min=3, max=3)])
