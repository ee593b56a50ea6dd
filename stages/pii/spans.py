"""What a finder finds, and which of several overlapping finds is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Span(NamedTuple):
    """One piece of personal data: text[start:end]."""

    kind: str
    start: int
    end: int
    value: str
    """Normalised, so that two spellings of one value are replaced alike."""


class Finder(Protocol):
    """Finds one kind of personal data."""

    def find(self, text: str) -> list[Span]:
        """Spans in `text`; they may overlap."""
        ...


SPECIFICITY = ("email", "iban", "credit_card", "ip", "phone", "name")
"""Which kind wins where two overlap: checksums and fixed syntax before loose shapes."""


def resolve(spans: list[Span], protected: list[tuple[int, int]]) -> list[Span]:
    """The spans to replace, in order and without overlap: most specific kind first, then longest,
    then first. A span that touches a `protected` (start, end) is dropped."""
    chosen: list[Span] = []
    taken = list(protected)
    for span in sorted(
        set(spans), key=lambda s: (SPECIFICITY.index(s.kind), s.start - s.end, s.start, s.value)
    ):
        if all(span.end <= start or end <= span.start for start, end in taken):
            chosen.append(span)
            taken.append((span.start, span.end))
    return sorted(chosen, key=lambda s: s.start)


def runs(text: str, seed: re.Pattern[str], inside: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Maximal runs of characters that `inside` (one character class, repeated) matches around
    each match of `seed`. Whatever a recognizer can match with such characters alone lies in one
    run, so looking at runs loses nothing and stays linear in the length of the text."""
    end = 0
    while (match := seed.search(text, end)) is not None:
        start = match.start()
        while start > end and inside.match(text, start - 1, start):
            start -= 1
        tail = inside.match(text, match.end())
        end = tail.end() if tail else match.end()
        yield start, end
