from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from training.config import Schedule
from training.optim.schedule import SCHEDULES, check_schedule, learning_rate

TABLES = {
    # Ten steps, two of warmup: computed by hand.
    ("linear", 0.0): [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8],
    ("linear", 0.5): [0.5, 1, 1, 15 / 16, 14 / 16, 13 / 16, 12 / 16, 11 / 16, 10 / 16, 9 / 16],
    ("constant", 0.0): [0.5] + [1] * 9,
    ("cosine", 0.0): [
        0.5,
        1,
        1,
        (1 + math.cos(math.pi / 8)) / 2,
        (1 + math.sqrt(0.5)) / 2,
        (1 + math.cos(3 * math.pi / 8)) / 2,
        0.5,
        (1 - math.cos(3 * math.pi / 8)) / 2,
        (1 - math.sqrt(0.5)) / 2,
        (1 - math.cos(math.pi / 8)) / 2,
    ],
    ("wsd", 0.0): [0.5, 1, 1, 1, 1, 1, 1, 0.5, 1 - math.sqrt(0.5), 1 - math.sqrt(0.75)],
    ("wsd", 0.1): [
        0.5,
        *[1] * 6,
        0.55,
        0.1 + 0.9 * (1 - math.sqrt(0.5)),
        0.1 + 0.9 * (1 - math.sqrt(0.75)),
    ],
}


@pytest.mark.parametrize(("name", "final"), TABLES)
def test_hand_table(name: str, final: float) -> None:
    schedule = Schedule(name=name, warmup_steps=2, decay_steps=4, final=final)
    factors = [learning_rate(schedule, 10, step) for step in range(10)]
    assert factors == pytest.approx(TABLES[name, final], abs=1e-12)


def test_decay_is_a_fifth_by_default() -> None:
    factors = [learning_rate(Schedule(), 100, step) for step in range(100)]
    assert factors[:81] == [1.0] * 81
    assert factors[81] < 1


@given(
    st.sampled_from(list(SCHEDULES)),
    st.integers(1, 200),
    st.integers(0, 250),
    st.one_of(st.none(), st.integers(1, 250)),
    st.floats(0, 1),
)
def test_rises_once_then_never(
    name: str, steps: int, warmup: int, decay: int | None, final: float
) -> None:
    schedule = Schedule(name=name, warmup_steps=warmup, decay_steps=decay, final=final)
    factors = [learning_rate(schedule, steps, step) for step in range(steps)]
    assert all(0 < f <= 1 + 1e-12 for f in factors[: warmup + 1])
    after = factors[warmup:]
    assert all(a >= b - 1e-12 for a, b in zip(after, after[1:], strict=False))
    assert all(f >= final - 1e-12 for f in after)
    assert learning_rate(schedule, steps, steps + 5) == factors[-1]


@pytest.mark.parametrize(
    ("keys", "steps", "named"),
    [
        ({"warmup_steps": 10}, 10, "warmup_steps"),
        ({"warmup_steps": 5, "decay_steps": 6}, 10, "decay_steps"),
        ({"name": "cosine", "warmup_steps": 11}, 10, "warmup_steps"),
    ],
)
def test_a_schedule_that_does_not_fit(keys: dict[str, int], steps: int, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        check_schedule(Schedule.model_validate(keys), steps)


def test_a_schedule_that_fits() -> None:
    check_schedule(Schedule(warmup_steps=4, decay_steps=6), 10)
    check_schedule(Schedule(name="linear", warmup_steps=9, decay_steps=100), 10)
    check_schedule(Schedule(), 1)
