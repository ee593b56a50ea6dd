"""Gopher's repetition rules as MassiveText describes them (arXiv 2112.11446 app. A.1.1, Table A1).

The paper counts the characters inside all duplicate n-grams, overlaps once; datatrove counts
only repeats that it meets in a jumping walk (`gopher_repetition`), always fewer. Denominators and
the treatment of lines are DCLM's and RedPajama-V2's, which read the paper the same way
(mlfoundations/dclm content_filters.py; RedPajama-Data core/quality_signals/repetitions.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from stages.signals.gopher_repetition import DUP_LENGTHS, NAMES, TOP_LENGTHS
from stages.signals.marks import SYMBOLS
from stages.signals.repeats import Repeats, repeated_ngrams
from stages.words import TextView

__all__ = ["NAMES", "measure"]


def _duplicates(parts: Sequence[str]) -> tuple[float, float]:
    """Share of the parts that occur more than once, and of their characters: every occurrence
    counts, also the first (DCLM)."""
    counts = Counter(part for part in parts if part.strip())
    total = counts.total()
    characters = sum(len(part) * count for part, count in counts.items())
    if not total:
        return 0.0, 0.0
    repeated = [(len(part) * count, count) for part, count in counts.items() if count > 1]
    return sum(n for _, n in repeated) / total, sum(c for c, _ in repeated) / characters


def _top_chars(level: Repeats, ends: Sequence[int]) -> int:
    """Characters of all occurrences of the most frequent n-gram, of several the longest one; 0
    when none is repeated (DCLM, RedPajama-V2)."""
    top = max(level.counts, default=0)
    lengths = (
        ends[start + level.n] - ends[start]
        for start, ngram in zip(level.positions, level.classes, strict=True)
        if level.counts[ngram] == top
    )
    return top * max(lengths, default=0)


def _covered_chars(level: Repeats, ends: Sequence[int]) -> int:
    """Characters of the words inside any repeated n-gram, each word once."""
    characters = covered = 0
    for start in level.positions:
        characters += ends[start + level.n] - ends[max(start, covered)]
        covered = start + level.n
    return characters


def measure(view: TextView) -> dict[str, float]:
    """Shares of repeated lines, paragraphs and n-grams.

    Lines and paragraphs of whitespace do not count. Words that are all punctuation are left out,
    and n-gram characters are shares of the characters of the remaining words.
    """
    lines, line_chars = _duplicates(view.text.split("\n"))
    paragraphs, paragraph_chars = _duplicates(view.text.split("\n\n"))
    signals = {
        "dup_line_frac": lines,
        "dup_line_char_frac": line_chars,
        "dup_para_frac": paragraphs,
        "dup_para_char_frac": paragraph_chars,
    }
    words = [word for word in view.words if not SYMBOLS.issuperset(word)]
    ends = list(accumulate(map(len, words), initial=0))
    total = ends[-1] or 1
    for level in repeated_ngrams(words, max(DUP_LENGTHS)):
        if level.n in TOP_LENGTHS:
            signals[f"top_{level.n}gram_char_frac"] = _top_chars(level, ends) / total
        elif level.n in DUP_LENGTHS:
            signals[f"dup_{level.n}gram_char_frac"] = _covered_chars(level, ends) / total
    return signals
