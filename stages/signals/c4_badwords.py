"""C4's bad-word rule (arXiv 1910.10683 section 2.2), for English.

The list is the English one of LDNOOBW (CC-BY-4.0), packaged beside this module with its
attribution. A family of its own, so that only recipes that ask for it pay for it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from stages.words import TextView

NAMES = ("n_bad_words",)

_RUN = re.compile(r"\w+")


class _BadWords(NamedTuple):
    single: frozenset[str]
    """Entries that are one run of word characters."""
    phrases: dict[str, list[re.Pattern[str]]]
    """First run of word characters -> the other entries that start with it."""
    marks: list[re.Pattern[str]]
    """Entries without any word character."""


@cache
def _bad_words() -> _BadWords:
    lines = files("stages.signals").joinpath("ldnoobw_en.txt").read_text("utf-8").splitlines()
    entries = [line.strip().lower() for line in lines if line.strip() and line[0] != "#"]
    phrases: dict[str, list[re.Pattern[str]]] = {}
    marks: list[re.Pattern[str]] = []
    for entry in entries:
        if _RUN.fullmatch(entry):
            continue
        pattern = re.compile(rf"(?<!\w){re.escape(entry)}(?!\w)")
        first = _RUN.search(entry)
        (phrases.setdefault(first[0], []) if first else marks).append(pattern)
    return _BadWords(frozenset(e for e in entries if _RUN.fullmatch(e)), phrases, marks)


def measure(view: TextView) -> dict[str, float]:
    """`n_bad_words`: distinct list entries that stand in the lower-cased text between characters
    that are no word characters; C4 drops a page from one on."""
    bad = _bad_words()
    text = view.text.lower()
    runs = set(_RUN.findall(text))
    patterns = [p for first in bad.phrases.keys() & runs for p in bad.phrases[first]]
    found = len(bad.single & runs) + sum(p.search(text) is not None for p in patterns + bad.marks)
    return {"n_bad_words": float(found)}
