"""Language identification with the packaged model and any other, the rule and the gate."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import fasttext
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InputError, UsageError
from schemas.recipe import Language, LanguageGate
from schemas.verdict import Rejection
from stages.language import (
    GATE_MIN_CHARS,
    LanguageIdentifier,
    check_gate,
    check_language,
    model_path,
    validate_labels,
)

ENGLISH = "The harbour of the town was built by the people who had come to it from the sea. "
GERMAN = "Der Hafen der Stadt wurde von den Leuten gebaut, die aus dem Norden kamen. "
LID = LanguageIdentifier(model_path("lid.176"))
THREADS = 12  # see test_fasttext_file
NORWEGIAN = {"nb": "no", "nn": "no"}


@pytest.fixture(scope="module")
def glot_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with GlotLID's kind of labels."""
    folder = tmp_path_factory.mktemp("model")
    lines = folder / "train.txt"
    lines.write_text(
        f"__label__eng_Latn {ENGLISH}\n" * 30 + f"__label__deu_Latn {GERMAN}\n" * 30, "utf-8"
    )
    model = fasttext.train_supervised(
        str(lines), epoch=20, dim=8, bucket=1000, minn=2, maxn=3, thread=THREADS, verbose=0
    )
    path = folder / "model.bin"
    model.save_model(str(path))
    return path


def test_top_and_probabilities_agree() -> None:
    label, score = LID.top(ENGLISH)
    assert label == "en"
    assert 0.5 < score <= 1
    probabilities = LID.probabilities(ENGLISH)
    assert max(probabilities, key=probabilities.__getitem__) == "en"
    assert probabilities["en"] == pytest.approx(score, abs=1e-4)
    assert sum(probabilities.values()) == pytest.approx(1, abs=0.01)


def test_newlines_and_nul_are_blanks() -> None:
    assert LID.top(GERMAN + "\n" + ENGLISH * 20)[0] == "en"
    assert LID.top(GERMAN + "\0" + ENGLISH * 20)[0] == "en"
    assert LID.top(GERMAN.replace(" ", "\n")) == LID.top(GERMAN.strip())


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\0"])
def test_blank_text_has_no_language(text: str) -> None:
    assert LID.top(text) == ("", 0.0)
    assert LID.probabilities(text) == {}


@given(st.text())
def test_any_text_gets_scores_in_range(text: str) -> None:
    label, score = LID.top(text)
    assert 0 <= score <= 1
    assert label in (*LID.labels, "")
    assert all(0 <= p <= 1 for p in LID.probabilities(text).values())


def test_lone_surrogates_do_not_break() -> None:
    assert LID.top(ENGLISH + "\ud83d")[0] == "en"


def test_labels_and_accuracy_on_lingua(shared_data: Path) -> None:
    """data/README.md: 0.8025 over all 75 languages, with both written Norwegians as one."""
    with gzip.open(shared_data / "langid" / "lingua_sentences.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    assert len(LID.labels) == 176
    hits = known = 0
    for row in rows:
        wanted = NORWEGIAN.get(row["lang"], row["lang"])
        label = LID.top(row["text"])[0]
        hits += NORWEGIAN.get(label, label) == wanted
        known += wanted in LID.labels
    assert hits / len(rows) == pytest.approx(0.8025, abs=0.002)
    assert hits / known == pytest.approx(0.9, abs=0.02)


def test_a_model_by_path(glot_like: Path) -> None:
    identifier = LanguageIdentifier(model_path(str(glot_like)))
    assert sorted(identifier.labels) == ["deu_Latn", "eng_Latn"]
    assert identifier.top(GERMAN)[0] == "deu_Latn"
    rejection = check_language(*identifier.top(GERMAN), Language(keep={"eng_Latn": 0.5}))
    assert rejection is not None
    assert rejection.rule == "language.unwanted"


def test_nothing_is_written_to_stderr(glot_like: Path, capfd: pytest.CaptureFixture[str]) -> None:
    LanguageIdentifier(glot_like).top(ENGLISH)
    assert capfd.readouterr() == ("", "")


def test_pickles_by_its_path() -> None:
    assert pickle.loads(pickle.dumps(LID)).top(ENGLISH) == LID.top(ENGLISH)


def test_model_path_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file.*lid.176"):
        model_path(str(tmp_path / "absent.bin"))
    (tmp_path / "page.bin").write_bytes(b"<html>not a model</html>" * 20)
    with pytest.raises(InputError, match="not a fastText model"):
        model_path(str(tmp_path / "page.bin"))
    with pytest.raises(InputError, match="no such file"):
        model_path(str(tmp_path))


@pytest.mark.parametrize(
    ("label", "score", "settings", "expected"),
    [
        ("en", 0.7, Language(keep={"en": 0.65}), None),
        ("en", 0.65, Language(keep={"en": 0.65}), ("language.score", 0.65, 0.65)),
        ("en", 0.65, Language(keep={"en": 0.65}, inclusive=True), None),
        ("en", 0.6, Language(keep={"en": 0.65}, inclusive=True), ("language.score", 0.6, 0.65)),
        ("de", 0.9, Language(keep={"en": 0.65}), ("language.unwanted", 0.9, None)),
        ("de", 0.9, Language(), None),
        ("de", 0.6, Language(threshold=0.65), ("language.score", 0.6, 0.65)),
        ("de", 0.6, Language(keep={"de": 0.5}, threshold=0.65), None),
        ("", 0.0, Language(), ("language.score", 0.0, 0.65)),
        ("en", 0.1, Language(keep={}), ("language.unwanted", 0.1, None)),
    ],
)
def test_check_language(
    label: str,
    score: float,
    settings: Language,
    expected: tuple[str, float, float | None] | None,
) -> None:
    rejection = check_language(label, score, settings)
    if expected is None:
        assert rejection is None
    else:
        assert rejection == Rejection("language", *expected, detail=label)


def test_validate_labels() -> None:
    validate_labels(Language(), LID.labels)
    validate_labels(Language(keep={"en": 0.65, "de": 0.5}), LID.labels)
    with pytest.raises(UsageError, match=r"no label 'eng' among its 176; did you mean .*\ben\b"):
        validate_labels(Language(keep={"eng": 0.65}), LID.labels)
    with pytest.raises(UsageError, match="for example"):
        validate_labels(Language(keep={"Klingon!": 0.65}), LID.labels)


GATE = LanguageGate()
WANT_ENGLISH = Language(keep={"en": 0.65})


def test_gate_looks_at_the_middle() -> None:
    framed = GERMAN * 30 + ENGLISH * 40 + GERMAN * 30
    assert check_gate(framed, LID, WANT_ENGLISH, GATE) is None
    rejection = check_gate(GERMAN * 100, LID, WANT_ENGLISH, GATE)
    assert rejection is not None
    assert (rejection.stage, rejection.rule) == ("gate", "gate.language")
    assert rejection.value is not None
    assert rejection.value < rejection.threshold == GATE.min_probability


def test_gate_adds_the_wanted_languages_up() -> None:
    both = Language(keep={"en": 0.65, "de": 0.65})
    assert check_gate(GERMAN * 100, LID, both, GATE) is None


def test_gate_lets_pass_what_it_cannot_judge() -> None:
    short = GERMAN * 2
    assert len(short) < GATE_MIN_CHARS
    assert check_gate(short, LID, WANT_ENGLISH, GATE) is None
    assert check_gate(short + " \n" * 500, LID, WANT_ENGLISH, GATE) is None
    assert check_gate("", LID, WANT_ENGLISH, GATE) is None
    assert check_gate(GERMAN * 100, LID, Language(), GATE) is None
