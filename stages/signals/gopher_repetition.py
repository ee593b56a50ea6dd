"""Gopher's repetition rules (MassiveText, arXiv 2112.11446 Table A1) as FineWeb ran them.

Definitions of datatrove 0.10.1, filters/gopher_repetition_filter.py, which differ from the paper:
see `gopher_repetition_paper`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from stages.signals.repeats import Repeats, repeated_ngrams
from stages.words import TextView

_NEWLINES = re.compile(r"\n+")
TOP_LENGTHS = (2, 3, 4)
DUP_LENGTHS = (5, 6, 7, 8, 9, 10)

NAMES = (
    "dup_line_frac",
    "dup_line_char_frac",
    "dup_para_frac",
    "dup_para_char_frac",
    *(f"top_{n}gram_char_frac" for n in TOP_LENGTHS),
    *(f"dup_{n}gram_char_frac" for n in DUP_LENGTHS),
)


def seen_before(parts: Sequence[str]) -> tuple[int, int]:
    """How many parts are equal to an earlier one, and their characters."""
    seen: set[str] = set()
    repeats = characters = 0
    for part in parts:
        if part in seen:
            repeats += 1
            characters += len(part)
        else:
            seen.add(part)
    return repeats, characters


def _top_chars(level: Repeats, ends: Sequence[int]) -> int:
    """Occurrences of the most frequent n-gram times its length with single spaces; of several
    the first in the text."""
    if level.counts:
        top = max(level.counts)
        start = level.positions[level.classes.index(level.counts.index(top))]
    elif len(ends) > level.n:
        top, start = 1, 0
    else:
        return 0
    return top * (ends[start + level.n] - ends[start] + level.n - 1)


def _dup_chars(level: Repeats, ends: Sequence[int]) -> int:
    """Characters of n-grams seen before in a walk that jumps over each one it counts; the
    n-grams that start inside a counted one are neither counted nor remembered."""
    seen: set[int] = set()
    characters = next_start = 0
    for start, ngram in zip(level.positions, level.classes, strict=True):
        if start < next_start:
            continue
        if ngram in seen:
            next_start = start + level.n
            characters += ends[next_start] - ends[start]
        else:
            seen.add(ngram)
    return characters


def measure(view: TextView) -> dict[str, float]:
    """Shares of repeated lines, paragraphs and n-grams.

    A line or paragraph counts from its second occurrence on. Characters are shares of the whole
    text, whitespace included. An n-gram is n words, punctuation included.
    """
    text, words = view.text, view.words
    if not text:
        return dict.fromkeys(NAMES, 0.0)
    lines = _NEWLINES.split(text)
    line_repeats, line_chars = seen_before(lines)
    paragraph_repeats, paragraph_chars = seen_before(view.paragraphs)
    signals = {
        "dup_line_frac": line_repeats / len(lines),
        "dup_line_char_frac": line_chars / len(text),
        "dup_para_frac": paragraph_repeats / len(view.paragraphs),
        "dup_para_char_frac": paragraph_chars / len(text),
    }
    ends = list(accumulate(map(len, words), initial=0))
    for level in repeated_ngrams(words, max(DUP_LENGTHS)):
        if level.n in TOP_LENGTHS:
            signals[f"top_{level.n}gram_char_frac"] = _top_chars(level, ends) / len(text)
        elif level.n in DUP_LENGTHS:
            signals[f"dup_{level.n}gram_char_frac"] = _dup_chars(level, ends) / len(text)
    return signals
