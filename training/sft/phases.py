"""Which task each sample comes from: strategies as phases of shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from training.data.mixture import Interleaving
from training.sft.config import Strategy

Sizes = Mapping[str, float]
"""Weight of each task, in the order of the configuration: by default its samples."""


class Phase(NamedTuple):
    """A stretch of the run."""

    share: float
    """Of all samples, relative to the other phases."""
    weights: dict[str, float]
    """Of the tasks in it."""


def multi_task(sizes: Sizes, strategy: Strategy) -> list[Phase]:
    """All tasks at once, by weight."""
    return [Phase(1.0, dict(sizes))]


def sequential(sizes: Sizes, strategy: Strategy) -> list[Phase]:
    """One task after another, in the order in which the configuration names them."""
    return [Phase(size, {name: 1.0}) for name, size in sizes.items()]


def mixed_sequential(sizes: Sizes, strategy: Strategy) -> list[Phase]:
    """Special tasks together, then the general ones."""
    return _two(sizes, strategy, 0.0)


def two_stage(sizes: Sizes, strategy: Strategy) -> list[Phase]:
    """Special tasks together, then the general ones with a small share of the special kept, which
    keeps what was learned of them (dual-stage mixed fine-tuning, arXiv 2310.05492, section 3.5)."""
    return _two(sizes, strategy, strategy.kept_share)


def _two(sizes: Sizes, strategy: Strategy, kept: float) -> list[Phase]:
    special = {n: s for n, s in sizes.items() if n not in strategy.general}
    last = {n: s for n, s in sizes.items() if n in strategy.general}
    if kept:
        last |= {name: size * kept for name, size in special.items()}
    return [Phase(sum(special.values()), special), Phase(sum(last.values()), last)]


STRATEGIES: dict[str, Callable[[Sizes, Strategy], list[Phase]]] = {
    "multi_task": multi_task,
    "sequential": sequential,
    "mixed_sequential": mixed_sequential,
    "two_stage": two_stage,
}


class Place(NamedTuple):
    """Where a sample is from."""

    task: str
    number: int
    """Samples of the task before it."""


class Phases:
    """The task of each sample, by counting alone.

    Shares of phases are rounded to whole samples; samples beyond the last one are of the last
    phase. In a phase every task has its share at any time (`Interleaving`); a task goes on in the
    next phase where it stopped.
    """

    def __init__(self, phases: Sequence[Phase], samples: int) -> None:
        """`samples`: all that the run takes."""
        total = sum(phase.share for phase in phases)
        done = 0.0
        self.starts: list[int] = []
        """First sample of each phase."""
        self.weights = [phase.weights for phase in phases]
        self._names = [list(phase.weights) for phase in phases]
        self._turns = [Interleaving(list(phase.weights.values())) for phase in phases]
        self._before: list[dict[str, int]] = []
        counts: dict[str, int] = {}
        for number, phase in enumerate(phases):
            start = round(samples * done / total)
            done += phase.share
            end = round(samples * done / total)
            self.starts.append(start)
            self._before.append(dict(counts))
            held = self._turns[number].counts(end - start)
            for name, count in zip(self._names[number], held, strict=True):
                counts[name] = counts.get(name, 0) + count

    def phase_of(self, k: int) -> int:
        """Number of the phase of sample k."""
        return max(n for n, start in enumerate(self.starts) if start <= k)

    def place(self, k: int) -> Place:
        """Where sample k is from."""
        phase = self.phase_of(k)
        turn = self._turns[phase].turn(k - self.starts[phase])
        name = self._names[phase][turn.source]
        return Place(name, turn.sample + self.before(phase, name))

    def before(self, phase: int, task: str) -> int:
        """Samples of a task before a phase."""
        return self._before[phase].get(task, 0)

    def end_of(self, phase: int) -> int | None:
        """The first sample after a phase; None after the last, which a longer run goes on with."""
        return self.starts[phase + 1] if phase + 1 < len(self.starts) else None
