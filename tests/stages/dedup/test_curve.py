from __future__ import annotations

import pytest

from schemas.errors import UsageError
from schemas.recipe import MinHash
from stages.dedup import curve


@pytest.mark.parametrize(
    ("bands", "rows", "jaccard", "expected"),
    [
        (14, 8, 0.7, 0.565),
        (14, 8, 0.8, 0.924),
        (14, 8, 0.85, 0.988),
        (450, 20, 0.75, 0.761),
        (450, 20, 0.8, 0.995),
        (9, 13, 0.8, 0.399),
        (20, 13, 0.8, 0.677),
    ],
)
def test_published_settings(bands: int, rows: int, jaccard: float, expected: float) -> None:
    assert curve.candidate_probability(jaccard, bands, rows) == pytest.approx(expected, abs=6e-4)


def test_ends_of_the_curve() -> None:
    assert curve.candidate_probability(0.0, 14, 8) == 0.0
    assert curve.candidate_probability(1.0, 14, 8) == 1.0
    assert curve.middle(14, 8) == pytest.approx(0.719, abs=1e-3)


def test_table_shows_settings_and_curve() -> None:
    text = curve.table(14, 8)
    assert "14 bands x 8 rows = 112 hashes" in text
    assert "0.719" in text
    assert "0.924" in text
    heads, chances = text.splitlines()[1:]
    assert len(heads) == len(chances)


def test_good_settings_pass() -> None:
    curve.check(MinHash(bands=14, rows=8))
    curve.check(MinHash(bands=450, rows=20))


def test_swapped_bands_and_rows_are_refused_in_one_line() -> None:
    with pytest.raises(UsageError) as caught:
        curve.check(MinHash(bands=8, rows=14))
    message = str(caught.value)
    assert "\n" not in message
    assert "30.2%" in message
    assert "allow_low_recall=true" in message


def test_low_recall_can_be_accepted() -> None:
    curve.check(MinHash(bands=8, rows=14, allow_low_recall=True))
