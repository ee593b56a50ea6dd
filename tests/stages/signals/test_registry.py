from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import signals
from stages.words import TextView


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\x0b", ".", "#", "word", "中", "\ud800"])
def test_every_signal_is_declared_and_finite(text: str) -> None:
    values = signals.compute(TextView(text), signals.FAMILIES)
    assert sorted(values) == sorted(signals.SIGNALS)
    assert all(math.isfinite(value) for value in values.values())


@given(st.text(st.sampled_from("ab .\n#-'中{")))
def test_shares_lie_between_nought_and_one(text: str) -> None:
    values = signals.compute(TextView(text), signals.FAMILIES)
    for name, value in values.items():
        assert value >= 0.0
        # A top n-gram may overlap itself, and counts spaces that the text need not have.
        if name.endswith("_frac") and ".top_" not in name:
            assert value <= 1.0 + 1e-9, name


def test_empty_text_measures_nothing() -> None:
    assert set(signals.compute(TextView(""), signals.FAMILIES).values()) == {0.0}


def test_family_of_a_signal() -> None:
    assert signals.family_of("gopher_repetition.dup_line_frac") == "gopher_repetition"


def test_a_signal_that_is_not_finite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signals.FAMILIES, "basic", lambda view: {"n_chars": math.nan})
    with pytest.raises(ArithmeticError, match=r"basic\.n_chars"):
        signals.compute(TextView("x"), ["basic"])
