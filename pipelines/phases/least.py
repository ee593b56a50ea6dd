"""One transform under every step of deduplication: tell each value of a key the least of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsDict, TaggedOutput

Pair = tuple[bytes, Any]
Ranked = tuple[bytes, Any, Any, int]
"""(key, value, least value of the key, number of values of the key)."""

HOT_GROUP = 10_000
"""Values from which on a key is not gathered in one place. Bounds what a worker holds of a key
(some MB), and the side input of hot keys to one entry for every 10,000 elements."""


class WithLeast(beam.PTransform):
    """(key, value) -> (key, value, least, size): every value meets the least value of its key
    and the number of values, by a total order that `order` gives as a sort key.

    Keys of ordinary size are grouped. Hot ones never are: they are counted by a lifted combiner,
    their least is found by another, and it comes back to the values as a small side input. So no
    worker, and no runner that keeps a key's values in memory (Beam issues 33520, 30184), ever
    holds all values of a hot key. Values are plain tuples or bytes: they cross shuffles.
    """

    def __init__(self, order: Callable[[Any], Any], hot_group: int = HOT_GROUP) -> None:
        super().__init__()
        self._order = order
        self._hot_group = hot_group

    def expand(self, pairs: beam.PCollection) -> beam.PCollection:
        """Build the two ways, by size of group."""
        hot_keys = (
            pairs
            | "CountKeys" >> beam.combiners.Count.PerKey()
            | "HotKeys" >> beam.Filter(_is_hot, self._hot_group)
        )
        ways = pairs | "Split" >> beam.FlatMap(_split, AsDict(hot_keys)).with_outputs(
            "hot", main="cold"
        ).with_output_types(beam.typehints.KV[bytes, beam.typehints.Any])
        cold = (
            ways.cold
            | "Group" >> beam.GroupByKey()
            | "LeastOfGroup" >> beam.FlatMap(_rank_group, self._order)
        )
        leasts = ways.hot | "LeastOfHot" >> beam.CombinePerKey(LeastAndCount(self._order))
        hot = ways.hot | "RankHot" >> beam.Map(_rank_hot, AsDict(leasts))
        return (cold, hot) | "Both" >> beam.Flatten()


class LeastAndCount(beam.CombineFn):
    """Values -> (least, count)."""

    def __init__(self, order: Callable[[Any], Any]) -> None:
        super().__init__()
        self._order = order

    def create_accumulator(self) -> tuple[Any, int]:
        """Nothing seen."""
        return None, 0

    def add_input(self, accumulator: tuple[Any, int], value: Any) -> tuple[Any, int]:
        """One more value."""
        return self._merge(accumulator, (value, 1))

    def merge_accumulators(self, accumulators: Iterable[tuple[Any, int]]) -> tuple[Any, int]:
        """The least of all, and the sum."""
        merged: tuple[Any, int] = (None, 0)
        for accumulator in accumulators:
            merged = self._merge(merged, accumulator)
        return merged

    def extract_output(self, accumulator: tuple[Any, int]) -> tuple[Any, int]:
        """The accumulator is the answer."""
        return accumulator

    def _merge(self, a: tuple[Any, int], b: tuple[Any, int]) -> tuple[Any, int]:
        if not a[1] or not b[1]:
            return a if a[1] else b
        least = a[0] if self._order(a[0]) <= self._order(b[0]) else b[0]
        return least, a[1] + b[1]


def _is_hot(counted: tuple[bytes, int], hot_group: int) -> bool:
    return counted[1] > hot_group


def _split(pair: Pair, hot_keys: dict[bytes, int]) -> Iterator[Any]:
    yield TaggedOutput("hot", pair) if pair[0] in hot_keys else pair


def _rank_group(
    group: tuple[bytes, Iterable[Any]], order: Callable[[Any], Any]
) -> Iterator[Ranked]:
    key, values = group[0], list(group[1])
    least = min(values, key=order)
    for value in values:
        yield key, value, least, len(values)


def _rank_hot(pair: Pair, leasts: dict[bytes, tuple[Any, int]]) -> Ranked:
    least, count = leasts[pair[0]]
    return pair[0], pair[1], least, count
