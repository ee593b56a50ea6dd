"""Summaries of bounded size against the whole."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.distribution import Distribution, TopCounts

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.lists(st.integers(0, 9999), min_size=1))
def test_small_whole_numbers_are_exact(values: list[int]) -> None:
    summary = Distribution()
    summary.add(values[::2])
    summary.add(values[1::2])
    for fraction in (0.0, 0.05, 0.5, 1.0):
        expected = np.quantile(values, fraction, method="inverted_cdf")
        assert summary.quantiles((fraction,)) == [expected]


@given(st.lists(FLOATS, min_size=1))
def test_values_are_kept_to_four_digits(values: list[float]) -> None:
    summary = Distribution()
    summary.add(values)
    finite = [value for value in values if np.isfinite(value)]
    assert summary.count == len(finite)
    if finite:
        extremes = summary.quantiles((0.0, 1.0))
        assert extremes == pytest.approx([min(finite), max(finite)], rel=5.1e-4, abs=1e-9)


@given(st.lists(st.floats(-10, 10), max_size=50))
def test_a_histogram_loses_nothing(values: list[float]) -> None:
    summary = Distribution()
    summary.add(values)
    assert sum(summary.histogram(np.linspace(-1, 1, 7))) == len(values)


def test_no_quantile_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        Distribution().quantiles((0.5,))


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=20), max_size=20))
def test_top_counts_are_lower_bounds_within_what_they_missed(batches: list[list[str]]) -> None:
    summary, truth = TopCounts(4), Counter[str]()
    for batch in batches:
        summary.add(Counter(batch))
        truth.update(batch)
    held = dict(summary.top(100))
    assert len(held) <= 4
    for name, count in truth.items():
        assert count - summary.missed <= held.get(name, 0) <= count


def test_top_counts_are_exact_within_capacity() -> None:
    summary = TopCounts(3)
    summary.add({"b": 2, "a": 2, "c": 5})
    assert summary.top(2) == [("c", 5), ("a", 2)]
    assert (summary.names, summary.missed) == (3, 0)


PARTS = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=30), min_size=1, max_size=6)


@given(PARTS, st.randoms())
def test_merged_top_counts_are_lower_bounds_in_any_order(parts: list[list[str]], dice: Any) -> None:
    truth = Counter(name for part in parts for name in part)
    dice.shuffle(parts)
    merged = TopCounts(4)
    for part in parts:
        summary = TopCounts(4)
        for start in range(0, len(part), 7):
            summary.add(Counter(part[start : start + 7]))
        merged.merge(TopCounts.restored(summary.state(), 4))
    held = dict(merged.top(100))
    assert len(held) <= 4
    for name, count in truth.items():
        assert count - merged.missed <= held.get(name, 0) <= count


@given(st.lists(st.lists(FLOATS, max_size=20), max_size=6))
def test_merged_distributions_are_those_of_all_values(parts: list[list[float]]) -> None:
    whole, merged = Distribution(), Distribution()
    whole.add([value for part in parts for value in part])
    for part in parts:
        summary = Distribution()
        summary.add(part)
        merged.merge(Distribution.restored(summary.state()))
    assert merged.state() == whole.state()
