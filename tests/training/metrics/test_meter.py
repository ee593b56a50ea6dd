"""Rates against a clock that the test turns."""

from __future__ import annotations

import pytest

from training.metrics.meter import Meter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def meter(clock: Clock, steps: int = 10, first_step: int = 0) -> Meter:
    return Meter(
        flops_per_token=50.0,
        peak_flops=1000.0,
        devices=2,
        steps=steps,
        first_step=first_step,
        clock=clock,
    )


def test_rates_of_two_steps_with_a_wait_and_a_pause(clock: Clock) -> None:
    it = meter(clock)
    with it.waiting():
        clock.now += 1
    clock.now += 1
    it.step(20)
    clock.now += 2
    it.step(20)
    with it.paused():
        clock.now += 6
    rates = it.take()
    assert rates.tokens_per_s == pytest.approx(10)
    assert rates.mfu == pytest.approx(10 * 50 / 2000)
    assert rates.step_seconds == pytest.approx(2)
    assert rates.stall == pytest.approx(0.25)
    # 8 steps are left, and two took ten seconds with the pause.
    assert rates.eta_seconds == pytest.approx(40)


def test_a_look_counts_from_the_last_one(clock: Clock) -> None:
    it = meter(clock)
    clock.now += 9
    it.step(9)
    it.take()
    clock.now += 1
    it.step(30)
    rates = it.take()
    assert rates.tokens_per_s == pytest.approx(30)
    assert rates.step_seconds == pytest.approx(1)
    assert rates.stall == 0


def test_a_resumed_run_has_less_to_do(clock: Clock) -> None:
    it = meter(clock, steps=10, first_step=7)
    clock.now += 2
    it.step(1)
    assert it.take().eta_seconds == pytest.approx(4)


def test_nothing_is_known_before_the_first_step(clock: Clock) -> None:
    rates = meter(clock).take()
    assert rates.eta_seconds is None
    assert rates.tokens_per_s == 0


def test_an_error_in_a_wait_is_counted_and_goes_on(clock: Clock) -> None:
    it = meter(clock)
    with pytest.raises(KeyError), it.waiting():
        clock.now += 1
        raise KeyError
    it.step(1)
    assert it.take().stall == pytest.approx(1)
