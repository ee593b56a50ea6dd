"""Strategies: which task each sample comes from."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sft.config import Strategy
from training.sft.phases import STRATEGIES, Phase, Phases

SIZES = {"maths": 300.0, "code": 100.0, "chat": 600.0}


def tasks_of(strategy: Strategy, samples: int) -> list[str]:
    phases = Phases(STRATEGIES[strategy.name](SIZES, strategy), samples)
    return [phases.place(k).task for k in range(samples)]


def test_multi_task_mixes_by_size_at_any_time() -> None:
    tasks = tasks_of(Strategy(), 1000)
    for end in (10, 100, 500, 1000):
        counts = Counter(tasks[:end])
        for name, size in SIZES.items():
            assert abs(counts[name] - end * size / 1000) < 2


def test_sequential_takes_one_task_after_another() -> None:
    tasks = tasks_of(Strategy(name="sequential"), 1000)
    assert tasks == ["maths"] * 300 + ["code"] * 100 + ["chat"] * 600


def test_mixed_sequential_ends_with_the_general_tasks_alone() -> None:
    tasks = tasks_of(Strategy(name="mixed_sequential", general=("chat",)), 1000)
    assert Counter(tasks[:400]) == {"maths": 300, "code": 100}
    assert set(tasks[400:]) == {"chat"}


def test_two_stage_keeps_a_small_share_of_the_special_tasks_to_the_end() -> None:
    kept = 1 / 16
    strategy = Strategy(name="two_stage", general=("chat",), kept_share=kept)
    tasks = tasks_of(strategy, 10_000)
    first = round(10_000 * 400 / (400 + 600 + 400 * kept))
    assert "chat" not in tasks[:first]
    last = Counter(tasks[first:])
    assert set(last) == set(SIZES)
    assert last["maths"] == pytest.approx(300 * kept * 10_000 / 1025, abs=2)
    assert last["chat"] > 20 * last["maths"]


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.integers(1, 9), min_size=1),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 300),
)
def test_every_task_counts_its_samples_without_a_gap(
    weights: list[dict[str, int]], samples: int
) -> None:
    phases = Phases(
        [Phase(sum(w.values()), {n: float(x) for n, x in w.items()}) for w in weights], samples
    )
    seen: Counter[str] = Counter()
    for k in range(samples + 20):
        place = phases.place(k)
        assert place.number == seen[place.task]
        seen[place.task] += 1
