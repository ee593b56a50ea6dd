"""Best-fit decreasing by groups, against the textbook's loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.bins import best_fit_decreasing


def one_by_one(sizes: list[int], capacity: int) -> list[int]:
    """Room left in each bin when pieces are placed in this order, each where it fits best."""
    rooms: list[int] = []
    for size in sizes:
        fitting = [bin for bin, room in enumerate(rooms) if room >= size]
        if not fitting:
            rooms.append(capacity)
            fitting = [len(rooms) - 1]
        rooms[min(fitting, key=rooms.__getitem__)] -= size
    return rooms


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_as_the_loop_does(counts: list[int]) -> None:
    capacity = len(counts) - 1
    sizes = [size for size in range(capacity, 0, -1) for _ in range(counts[size])]
    bins, number = best_fit_decreasing(np.array(counts))
    assert len(bins) == len(sizes)
    filled = np.bincount(bins, weights=sizes, minlength=number).astype(int)
    assert len(filled) == number
    assert filled.max(initial=0) <= capacity
    assert filled.min(initial=1) > 0
    assert sorted(capacity - filled) == sorted(one_by_one(sizes, capacity))


def test_no_worse_than_the_theorem() -> None:
    """Best-fit decreasing needs at most 11/9 of the best number of bins and 4 (Johnson 1974)."""
    random = np.random.default_rng(0)
    for _ in range(20):
        counts = np.bincount(random.integers(1, 101, size=2000), minlength=101)
        _, number = best_fit_decreasing(counts)
        at_least = -(-int(counts @ np.arange(101)) // 100)
        assert at_least <= number <= 11 / 9 * at_least + 4
