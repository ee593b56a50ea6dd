"""Keyed permutations."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.permutation import Permutation


@given(st.integers(0, 3000), st.integers(0, 1 << 62))
@settings(max_examples=60, deadline=None)
def test_everything_once(size: int, seed: int) -> None:
    order = Permutation(size, seed)[np.arange(size)]
    assert sorted(order.tolist()) == list(range(size))


@given(st.integers(1, 100_000), st.data())
@settings(max_examples=60, deadline=None)
def test_parts_are_those_of_the_whole(size: int, data: st.DataObject) -> None:
    order = Permutation(size, "words", 3)
    start = data.draw(st.integers(0, size))
    part = np.empty(min(size - start, 1000), dtype=order.dtype)
    order.fill(part, start)
    assert part.tolist() == order[np.arange(start, start + len(part))].tolist()


def test_huge_sizes() -> None:
    size = (1 << 40) + 12345
    found = Permutation(size, 1)[np.arange(size - 1000, size)]
    assert len(set(found.tolist())) == 1000
    assert 0 <= found.min() <= found.max() < size
    # Spread over all of it: the mean of 1000 uniform numbers, to five standard deviations.
    assert abs(found.mean() / size - 0.5) < 5 * (1 / 12) ** 0.5 / 1000**0.5


def test_all_orders_of_four_things_are_as_likely() -> None:
    draws = 4800
    orders = Counter(tuple(Permutation(4, seed)[range(4)].tolist()) for seed in range(draws))
    expected = draws / 24
    chi_square = sum((count - expected) ** 2 / expected for count in orders.values())
    assert len(orders) == 24
    assert chi_square < 49.7, "p = 0.001 with 23 degrees of freedom"


def test_neighbours_are_torn_apart() -> None:
    """Of a random order, one step in n keeps a pair together; the expected count is one."""
    order = Permutation(10_000, "a", 0)[np.arange(10_000)]
    assert np.count_nonzero(np.diff(order) == 1) < 8


@pytest.mark.parametrize("other", [(1, "a", 0), ("0", "a", 0), (0, "a", 1), (0, "a0")])
def test_each_part_of_the_key_counts(other: tuple[int | str, ...]) -> None:
    ours = Permutation(1000, 0, "a", 0)[range(1000)]
    assert ours.tolist() != Permutation(1000, *other)[range(1000)].tolist()


def test_the_order_is_fixed() -> None:
    """Runs resume with other versions of this package: a change of these numbers breaks them."""
    assert Permutation(10, "documents", 1, 0)[range(10)].tolist() == FIXED


FIXED = [4, 2, 5, 6, 0, 8, 1, 7, 9, 3]
