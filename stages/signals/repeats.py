"""Which runs of words occur more than once: the step that all repetition signals share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
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


def _repeated(n: int, starts: Iterable[int], keys: Sequence[Hashable]) -> Repeats:
    number: dict[Hashable, int] = {}
    counts: list[int] = []
    for key, count in Counter(keys).items():
        if count > 1:
            number[key] = len(counts)
            counts.append(count)
    positions: list[int] = []
    classes: list[int] = []
    if counts:
        for start, key in zip(starts, keys, strict=True):
            if key in number:
                positions.append(start)
                classes.append(number[key])
    return Repeats(n, positions, classes, counts)


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
        before, class_before = -2, 0
        # plain loops: tuples of neighbours would cost a third more, collections included
        for position, class_ in zip(level.positions, level.classes, strict=True):
            if position == before + 1:
                starts.append(before)
                keys.append(class_before * width + class_)
            before, class_before = position, class_
        level = _repeated(n, starts, keys)
        yield level
