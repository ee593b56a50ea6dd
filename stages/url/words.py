"""Words and substrings of a URL, taken apart exactly as FineWeb's filter does.

Facts from datatrove 0.10.1, pipeline/filters/url_filter.py: everything but ASCII letters and
digits separates words; words keep their case and the lists are lower case, so `/Porn/` passes the
word rules; substrings are searched in the lower-case URL with all separators removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import ahocorasick

_SEPARATORS = re.compile(r"[^a-zA-Z0-9]+")


def words_of(url: str) -> set[str]:
    """The distinct words of a URL; holds an empty string when it begins or ends in a separator."""
    return set(_SEPARATORS.split(url))


def squeezed(text: str) -> str:
    """Lower-case ASCII letters and digits alone; also the form of datatrove's list entries."""
    return _SEPARATORS.sub("", text).lower()


class SubstringSet:
    """Many substrings, searched in one pass (Aho-Corasick)."""

    def __init__(self, substrings: Iterable[str]) -> None:
        self._automaton = ahocorasick.Automaton(ahocorasick.STORE_ANY)
        for substring in substrings:
            if substring:
                self._automaton.add_word(substring, substring)
        self._automaton.make_automaton()

    def first(self, text: str) -> str | None:
        """A listed substring that ends first in the text, or None."""
        if not len(self._automaton):
            return None
        found = next(self._automaton.iter(text), None)
        return None if found is None else str(found[1])
