"""Which runs of words occur more than once: the step that all repetition signals share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple


class Repeats(NamedTuple):
    """The n-grams of one length that occur at least twice."""

    n: int
    positions: list[int]
    """Word indices where a repeated n-gram starts, ascending."""
    classes: list[int]
    """For each position, which n-gram starts there; numbered by first occurrence."""
    counts: list[int]
    """For each class, its occurrences."""


def _repeated(n: int, starts: Sequence[int], keys: Sequence[object]) -> Repeats:
    occurrences = Counter(keys)
    number: dict[object, int] = {}
    counts: list[int] = []
    for key, count in occurrences.items():
        if count > 1:
            number[key] = len(counts)
            counts.append(count)
    kept = [(start, number[key]) for start, key in zip(starts, keys, strict=True) if key in number]
    return Repeats(n, [start for start, _ in kept], [class_ for _, class_ in kept], counts)


def repeated_ngrams(words: Sequence[str], longest: int) -> Iterator[Repeats]:
    """The repeated n-grams for n = 1, 2, ..., `longest`, each found from the ones before.

    A repeated n-gram starts with a repeated (n-1)-gram and ends with another, so each round only
    looks at neighbours that are both left: cheap, since little is left after two rounds.
    """
    level = _repeated(1, range(len(words)), words)
    yield level
    for n in range(2, longest + 1):
        width = len(level.counts)
        starts: list[int] = []
        keys: list[int] = []
        pairs = pairwise(zip(level.positions, level.classes, strict=True))
        for (start, first), (following, second) in pairs:
            if following == start + 1:
                starts.append(start)
                keys.append(first * width + second)
        level = _repeated(n, starts, keys)
        yield level
