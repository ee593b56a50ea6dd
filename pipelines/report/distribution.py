"""Mergeable summaries of bounded size: a distribution of numbers, and the most frequent names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

SIGNIFICANT_DIGITS = 4
"""At most 9,000 different values a decade: exact for counts below 10,000, else within 0.05 %."""
SMALLEST = 1e-9
"""Values closer to zero count as zero, which bounds the number of decades."""

Floats = npt.NDArray[np.float64]


class Distribution:
    """How often each value occurred, values rounded to four significant digits."""

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()

    def add(self, values: npt.ArrayLike) -> None:
        """Count values; NaN and infinities are left out."""
        given = np.asarray(values, dtype=np.float64)
        rounded, counts = np.unique(_rounded(given[np.isfinite(given)]), return_counts=True)
        for value, count in zip(rounded.tolist(), counts.tolist(), strict=True):
            self._counts[value] += count

    def merge(self, other: Distribution) -> None:
        """Count what the other counted."""
        self._counts.update(other._counts)

    def state(self) -> list[Any]:
        """Of JSON types, for `restored`."""
        ordered = sorted(self._counts.items())
        return [[value for value, _ in ordered], [count for _, count in ordered]]

    @classmethod
    def restored(cls, state: list[Any]) -> Distribution:
        """The distribution that a state is of."""
        distribution = cls()
        distribution._counts.update(dict(zip(*state, strict=True)))
        return distribution

    @property
    def count(self) -> int:
        """How many values were counted."""
        return self._counts.total()

    def quantiles(self, fractions: tuple[float, ...]) -> list[float]:
        """The least value that at least this fraction of values does not exceed, for each.

        Raises ValueError when nothing was counted.
        """
        values, counts = self._arrays()
        if not len(values):
            raise ValueError("no quantiles of an empty distribution")
        places = np.searchsorted(np.cumsum(counts), np.asarray(fractions) * counts.sum())
        return [float(values[min(place, len(values) - 1)]) for place in places.tolist()]

    def histogram(self, edges: Floats) -> list[int]:
        """Counts between the edges; values outside go to the first and the last bin."""
        values, counts = self._arrays()
        inside = np.clip(values, edges[0], edges[-1])
        return np.histogram(inside, bins=edges, weights=counts)[0].round().astype(int).tolist()

    def _arrays(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        ordered = sorted(self._counts.items())
        values = np.array([value for value, _ in ordered], dtype=np.float64)
        return values, np.array([count for _, count in ordered], dtype=np.int64)


def _rounded(values: Floats) -> Floats:
    result = np.zeros_like(values)
    large = np.abs(values) >= SMALLEST
    digits = SIGNIFICANT_DIGITS - 1 - np.floor(np.log10(np.abs(values[large])))
    scale = 10.0**digits
    result[large] = np.round(values[large] * scale) / scale
    return result


class TopCounts:
    """The most frequent names of a stream, exact until more than `capacity` names were seen.

    Beyond that the counts are lower bounds that miss at most `missed` each: the mergeable
    Misra-Gries summary of Agarwal et al., Mergeable Summaries, PODS 2012, section 2.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._counts: Counter[str] = Counter()
        self.missed = 0

    def add(self, counts: Mapping[str, int]) -> None:
        """Merge counts of names."""
        self._counts.update(counts)
        if len(self._counts) <= self._capacity:
            return
        cut = sorted(self._counts.values(), reverse=True)[self._capacity]
        self.missed += cut
        self._counts = Counter({k: n - cut for k, n in self._counts.items() if n > cut})

    def merge(self, other: TopCounts) -> None:
        """Count what the other counted; what both missed adds up."""
        self.missed += other.missed
        self.add(other._counts)

    def state(self) -> list[Any]:
        """Of JSON types, for `restored`."""
        return [self.missed, dict(self._counts)]

    @classmethod
    def restored(cls, state: list[Any], capacity: int) -> TopCounts:
        """The summary that a state is of."""
        summary = cls(capacity)
        summary.missed = state[0]
        summary._counts.update(state[1])
        return summary

    def top(self, n: int) -> list[tuple[str, int]]:
        """The n most frequent, ties by name."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:n]

    @property
    def names(self) -> int:
        """How many names are held: all there were, as long as `missed` is 0."""
        return len(self._counts)
