"""Turns of the sources of a mixture."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.mixture import Interleaving

WEIGHTS = st.lists(
    st.floats(1e-4, 1e4).map(lambda weight: float(f"{weight:.6g}")), min_size=1, max_size=20
)


def shares_of(weights: list[float]) -> list[Fraction]:
    exact = [Fraction(str(weight)) for weight in weights]
    return [weight / sum(exact) for weight in exact]


@given(WEIGHTS)
@settings(max_examples=50, deadline=None)
def test_every_source_has_its_share_at_any_time(weights: list[float]) -> None:
    turns = Interleaving(weights)
    shares = shares_of(weights)
    counts = [0] * len(weights)
    for k in range(150):
        assert turns.counts(k) == counts
        turn = turns.turn(k)
        assert turn.sample == counts[turn.source]
        counts[turn.source] += 1
        for share, count in zip(shares, counts, strict=True):
            assert abs(count - (k + 1) * share) < 2


@given(WEIGHTS, st.integers(0, 10**15))
@settings(max_examples=50, deadline=None)
def test_far_out(weights: list[float], k: int) -> None:
    """Counts and turns agree without the ones before them; nothing drifts."""
    turns = Interleaving(weights)
    before, after = turns.counts(k), turns.counts(k + 1)
    assert sum(before) == k
    turn = turns.turn(k)
    assert turn.sample == before[turn.source]
    before[turn.source] += 1
    assert before == after
    for share, count in zip(shares_of(weights), after, strict=True):
        assert abs(count - (k + 1) * share) < 2


def test_even_weights_alternate() -> None:
    turns = Interleaving([0.5, 0.5])
    order = [turns.turn(k).source for k in range(8)]
    assert order in ([0, 1] * 4, [1, 0] * 4)
