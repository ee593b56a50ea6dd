"""Greedy k-center and the filter of near ones, against exhaustive search and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from training.instruct.diversity import apart, k_center


def points(seed: int, count: int, dim: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim))


@pytest.mark.parametrize("seed", range(5))
def test_radius_is_at_most_twice_the_best(seed: int) -> None:
    rows = points(seed, 12)
    distances = cdist(rows, rows)
    chosen = k_center(rows, 3)
    best = min(
        distances[list(centres)].min(axis=0).max()
        for centres in itertools.combinations(range(12), 3)
    )
    assert distances[chosen].min(axis=0).max() <= 2 * best + 1e-12


def test_each_next_one_is_the_farthest() -> None:
    rows = points(7, 40)
    distances = cdist(rows, rows)
    chosen = k_center(rows, 10)
    assert len(set(chosen)) == 10
    assert chosen[0] == cdist(rows, rows.mean(axis=0)[None]).argmin()
    for number in range(1, 10):
        nearest = distances[chosen[:number]].min(axis=0)
        assert nearest[chosen[number]] == pytest.approx(nearest.max())


def test_copies_are_chosen_last_and_once() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    chosen = k_center(rows, 10)
    assert sorted(chosen) == [0, 1, 2, 3]
    assert chosen[-1] in (0, 1)
    assert k_center(rows[:0], 3) == []


def test_apart_keeps_what_is_below_the_threshold() -> None:
    rows = points(3, 60, 4)
    order = list(np.random.default_rng(1).permutation(60))
    chosen = apart(rows, order, 60, 0.9)
    similarity = 1 - cdist(rows, rows, "cosine")
    expected: list[int] = []
    for place in order:
        if all(similarity[place, other] < 0.9 for other in expected):
            expected.append(place)
    assert chosen == expected
    assert apart(rows, order, 4, 0.9) == expected[:4]


def test_a_copy_of_the_points_is_all_the_memory() -> None:
    """Far from the origin, too, where |x|^2 - 2xc + |c|^2 would lose most."""
    drawn = np.random.default_rng(4).normal(size=(300, 8)) + 1000.0
    expected = k_center(drawn, 40)
    assert k_center(drawn.astype(np.float32), 40)[:10] == expected[:10]
    chosen, distance = [expected[0]], ((drawn - drawn[expected[0]]) ** 2).sum(1)
    for _ in range(39):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((drawn - drawn[chosen[-1]]) ** 2).sum(1))
    assert expected == chosen


def test_like_ones_at_the_threshold_stay() -> None:
    points = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert apart(points, [0, 1, 2], 3, 0.0) == [0, 1]
    assert apart(points, [0, 1, 2], 3, 1.0) == [0, 1, 2]
    assert apart(points, [0, 1, 2], 3, -0.5) == [0]
