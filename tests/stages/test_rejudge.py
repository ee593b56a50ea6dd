"""An annotated page decided later ends as the page itself would with the same recipe."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.recipes import load
from schemas.page import Page
from schemas.recipe import Edit, Language, LanguageGate, Rule
from schemas.verdict import Annotation, Failure, Outcome
from stages import decide
from stages.language import (
    LanguageIdentifier,
    check_gate,
    check_gate_sample,
    gate_sample,
    model_path,
)
from stages.refine import RefineAssets, Refiner
from stages.rejudge import Rejudger
from stages.signals import FAMILIES, SIGNALS, family_of
from tests.builders.pages import article_page

NO_ASSETS = RefineAssets(blocklist=None)
SAME_EXTRACT = ["url.blocklist=null", "extract.favor=balanced", "extract.deduplicate=false"]
RECIPES = {
    "demo": load("demo", SAME_EXTRACT),
    "fineweb": load("fineweb", SAME_EXTRACT),
    "gopher": load("gopher", SAME_EXTRACT),
    "c4": load("c4", [*SAME_EXTRACT, "extract.name=trafilatura", "extract.include_comments=false"]),
    "german": load("demo", [*SAME_EXTRACT, "language.keep={de: 0.5}", "dedup.minhash=null"]),
}
ENGLISH = (
    "The harbour of the town was built in the years after the great storm, when the fishermen of "
    "the coast had lost half of their boats and the trust in the old wooden pier. "
    "Stone was brought from the hills by ox carts, and for three summers the masons worked."
)
GERMAN = (
    "Der Hafen der Stadt wurde in den Jahren nach dem großen Sturm gebaut, als die Fischer der "
    "Küste die Hälfte ihrer Boote verloren hatten. Steine kamen auf Ochsenkarren aus den Bergen, "
    "und drei Sommer lang arbeiteten die Maurer des Tals neben den Seeleuten an der Mauer."
)
GOOD = (
    "The harbour of the town was built in the years after the great storm, when the fishermen "
    "of the coast had lost half of their boats and with them the trust in the old wooden pier.",
    "Stone was brought from the hills by ox carts, and for three summers the masons of the valley "
    "worked beside the sailors to raise a wall that the winter waves would not carry away.",
    "Today the harbour is quiet: a few trawlers leave before dawn, the market opens at seven, and "
    "visitors walk along the wall to look at the lighthouse that stands at the end of it.",
    "What remains of the old pier can be seen at low tide, a row of black posts that leads from "
    "the beach towards the open sea, and children climb on them to fish for crabs. Nobody "
    "remembers who drove them into the sand.",
)
GERMAN_MORE = (
    "Heute liegt der Hafen ruhig da: Ein paar Kutter fahren vor Sonnenaufgang hinaus, der Markt "
    "öffnet um sieben, und Besucher gehen auf der Mole bis zum Leuchtturm, der am Ende steht.",
    "Von der alten Brücke sieht man bei Ebbe noch eine Reihe schwarzer Pfähle, an denen Kinder "
    "nach Krebsen fischen; niemand weiß mehr, wer sie in den Sand getrieben hat.",
)
LOREM = "Lorem ipsum dolor sit amet stands on this page where the text should have been. "


def page(*paragraphs: str, **changes: object) -> Page:
    return article_page(paragraphs, **changes)


PAGES = {
    "good": page(*GOOD),
    "english": page(ENGLISH, ENGLISH.replace("harbour", "lighthouse"), ENGLISH.replace("s", "z")),
    "german": page(GERMAN, *GERMAN_MORE, url="https://hafen.example/"),
    "both": page(ENGLISH, GERMAN, ENGLISH, GERMAN),
    "thin": page("The end.", ENGLISH[:90]),
    "adult": page(ENGLISH, ENGLISH, url="https://x.example/free-porn-videos"),
    "repeated": page(*[ENGLISH[:80]] * 20),
    "lorem": page(ENGLISH, LOREM, ENGLISH.upper()),
    "short_lines": page(*[*ENGLISH.split(", "), "Accept all cookies", ENGLISH]),
    "empty": page(body=b"<html><body><img src=a.png></body></html>"),
    "empty_adult": page(body=b"<html><img></html>", url="https://x.example/free-porn-videos"),
    "text_row": page(body=b"", text=GERMAN * 4, record_type="row", content_type="text/plain"),
}


@cache
def refiner_of(recipe: str, annotate: bool = False) -> Refiner:
    return Refiner(RECIPES[recipe], NO_ASSETS, annotate=annotate)


@cache
def annotated(recipe: str, name: str) -> Outcome:
    return refiner_of(recipe, annotate=True).refine(PAGES[name])


def decisive(outcome: Outcome) -> Outcome:
    """All but the clock, and what nobody reads of a page without text."""
    return outcome._replace(
        seconds_by_step={}, **({} if outcome.kept else {"signals": {}, "charset": "", "mime": ""})
    )


def ended(outcome: Outcome) -> tuple[object, ...]:
    """What a run writes of a page that was not kept."""
    o = outcome
    return (o.id, o.url, o.language, o.text[:500], o.rejection, o.failure)


@pytest.mark.parametrize("before", ["demo", "fineweb", "c4"])
@pytest.mark.parametrize("after", RECIPES)
def test_decided_later_is_decided_at_once(before: str, after: str) -> None:
    rejudger = Rejudger(RECIPES[after], RECIPES[before], NO_ASSETS)
    kept = 0
    for name, each in PAGES.items():
        at_once = refiner_of(after).refine(each)
        later = rejudger.rejudge(annotated(before, name))
        assert ended(later) == ended(at_once), name
        if at_once.kept:
            kept += 1
            assert decisive(later) == decisive(at_once), name
    assert kept


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_verdict_is_what_the_recipe_would_decide(recipe: str) -> None:
    for name, each in PAGES.items():
        noted = annotated(recipe, name)
        assert noted.annotation is not None
        if noted.kept:
            assert noted.annotation.verdict == refiner_of(recipe).refine(each).rejection, name
            assert set(noted.signals) == set(SIGNALS)
        else:
            assert noted.rejection is not None
            assert noted.rejection.rule == "extract.empty"


def test_annotated_text_is_the_text_before_edits() -> None:
    noted = annotated("c4", "short_lines")
    decided = Rejudger(RECIPES["c4"], RECIPES["c4"], NO_ASSETS).rejudge(noted)
    assert "Accept all cookies" in noted.text
    assert "Accept all cookies" not in decided.text
    assert noted.n_words == decide.judge(noted.text, [], "en").n_words


def test_a_failure_stays_one_unless_an_earlier_check_turns_the_page_down() -> None:
    failure = Failure("extract", "timeout", "more than 10 CPU seconds")
    noted = annotated("demo", "good")
    failed = noted._replace(text="", signals={}, failure=failure)
    assert Rejudger(RECIPES["demo"], RECIPES["demo"], NO_ASSETS).rejudge(failed).failure == failure
    blocked = failed._replace(url="https://x.example/free-porn-videos")
    decided = Rejudger(RECIPES["demo"], RECIPES["demo"], NO_ASSETS).rejudge(blocked)
    assert decided.failure is None
    assert decided.rejection is not None
    assert decided.rejection.stage == "url"
    gated = failed._replace(annotation=Annotation(None, gate_sample(GERMAN * 20, 2000)))
    decided = Rejudger(RECIPES["fineweb"], RECIPES["demo"], NO_ASSETS).rejudge(gated)
    assert decided.rejection is not None
    assert decided.rejection.rule == "gate.language"


def test_stored_signals_decide_without_the_text() -> None:
    noted = annotated("demo", "good")
    poor = {**noted.signals, "gopher_quality.n_words": 3.0}
    decided = Rejudger(RECIPES["demo"], RECIPES["demo"], NO_ASSETS).rejudge(
        noted._replace(signals=poor)
    )
    assert decided.rejection is not None
    assert (decided.rejection.rule, decided.rejection.value) == ("gopher_quality.words_min", 3.0)


LINES = Edit(edit="c4_lines", options={"terminal_punctuation": False}, source="test")
SPELLED_OUT = Edit(
    edit="c4_lines", options={"terminal_punctuation": False, "policy": True}, source="test"
)
OTHER_LINES = Edit(edit="c4_lines", options={}, source="test")
WORDS = Rule(rule="words", signal="gopher_quality.n_words", min=3, source="test")
SENTENCES = Rule(rule="sentences", signal="c4.n_sentences", min=2, source="test")


@pytest.mark.parametrize(
    ("before", "after", "fresh"),
    [
        ([], [WORDS], set()),
        ([WORDS, LINES], [WORDS, LINES, SENTENCES], set()),
        ([WORDS, LINES], [WORDS, SPELLED_OUT, SENTENCES], set()),
        ([LINES, WORDS], [WORDS, LINES], {"gopher_quality"}),
        ([LINES], [OTHER_LINES], set(FAMILIES)),
        ([], [WORDS, LINES], set(FAMILIES) - {"gopher_quality"}),
    ],
)
def test_signals_hold_for_the_text_they_were_measured_on(
    before: list[Rule | Edit], after: list[Rule | Edit], fresh: set[str]
) -> None:
    assert set(FAMILIES) - decide.reusable(before, after) == fresh


def test_known_families_are_not_measured_again() -> None:
    known = {"basic": {name: 7.0 for name in SIGNALS if family_of(name) == "basic"}}
    rule = Rule(rule="many", signal="basic.n_words", max=5, source="test")
    judgement = decide.judge("One.", [rule], "en", known=known)
    assert judgement.rejection is not None
    assert judgement.rejection.value == 7.0


LID = LanguageIdentifier(model_path("lid.176"))


@given(
    st.lists(st.sampled_from([ENGLISH, GERMAN, " ", "\n\n"]), max_size=12).map("".join),
    st.integers(1, 1500),
    st.integers(0, 1500),
)
def test_a_sample_passes_the_gate_as_the_whole_text_does(raw: str, looked: int, more: int) -> None:
    gate = LanguageGate(characters=looked)
    settings = Language(keep={"en": 0.65})
    sample = gate_sample(raw, looked + more)
    assert check_gate_sample(sample, LID, settings, gate) == check_gate(raw, LID, settings, gate)


@pytest.mark.parametrize(
    ("step", "where"),
    [("language", "check_language"), ("quality", "decide.judge"), ("hash", "content_hash")],
)
def test_a_defect_costs_the_page_that_met_it(
    monkeypatch: pytest.MonkeyPatch, step: str, where: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("division by zero")

    rejudger = Rejudger(RECIPES["fineweb"], RECIPES["fineweb"], NO_ASSETS)
    before = annotated("fineweb", "good")
    monkeypatch.setattr(f"stages.rejudge.{where}", fail)
    failure = rejudger.rejudge(before).failure
    assert failure == (step, "internal_error", "ZeroDivisionError: division by zero")
