from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InputError
from training.optim.spikes import SpikeGuard


def settled(window: int = 32, factor: float | None = 6.0) -> SpikeGuard:
    guard = SpikeGuard(factor, window)
    noise = random.Random(1)
    for _ in range(window):
        assert guard.accept(noise.gauss(2.0, 0.1), noise.gauss(1.0, 0.05))
    return guard


def test_a_spike_of_the_loss_or_of_the_norm_is_refused_and_counted() -> None:
    guard = settled()
    assert not guard.accept(5.0, 1.0)
    assert not guard.accept(2.0, 3.0)
    assert guard.accept(2.1, 1.05)
    assert guard.skipped == 2


def test_a_falling_loss_is_no_spike() -> None:
    assert settled().accept(-50.0, 0.0)


def test_one_spike_does_not_hide_the_next() -> None:
    guard = settled()
    assert not guard.accept(1e9, 1.0)
    assert not guard.accept(5.0, 1.0)


def test_a_change_that_lasts_is_accepted() -> None:
    guard = settled()
    verdicts = [guard.accept(4.0, 1.0) for _ in range(32)]
    assert not verdicts[0]
    assert verdicts[-1]


def test_nothing_is_refused_before_half_of_the_window() -> None:
    guard = SpikeGuard(2.0, 16)
    assert all(guard.accept(1.0, 1.0) for _ in range(7))
    assert guard.accept(100.0, 1.0)
    assert not guard.accept(1e6, 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_refused_at_any_time_and_not_remembered(value: float) -> None:
    guard = SpikeGuard(6.0, 8)
    assert not guard.accept(value, 1.0)
    assert not guard.accept(1.0, value)
    assert guard.state() == {"losses": [], "grad_norms": [], "skipped": 2}


def test_off_is_off() -> None:
    guard = SpikeGuard(None, 8)
    assert all(guard.accept(v, v) for v in (1.0, 1e30, math.nan))
    assert guard.skipped == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1), st.data())
def test_a_guard_from_a_record_decides_the_same(
    values: list[tuple[float, float]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole, first, second = (SpikeGuard(2.0, 8) for _ in range(3))
    expected = [whole.accept(*v) for v in values]
    verdicts = [first.accept(*v) for v in values[:cut]]
    second.load(json.loads(json.dumps(first.state())))
    verdicts += [second.accept(*v) for v in values[cut:]]
    assert verdicts == expected
    assert second.skipped == whole.skipped


@pytest.mark.parametrize("broken", [{}, {"losses": ["x"], "grad_norms": [], "skipped": 0}])
def test_a_broken_record(broken: dict[str, object]) -> None:
    with pytest.raises(InputError, match="spike state"):
        SpikeGuard(2.0, 8).load(broken)
