"""Gopher's quality rules (MassiveText, arXiv 2112.11446 app. A.1.1) as FineWeb ran them.

Definitions of datatrove 0.10.1, filters/gopher_quality_filter.py. What differs from the paper and
from DCLM is in `gopher_quality_paper`.
"""

from __future__ import annotations

from stages.signals.marks import SYMBOLS
from stages.words import TextView

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
"""MassiveText app. A.1.1."""

NAMES = (
    "n_words",
    "mean_word_length",
    "hash_ratio",
    "ellipsis_ratio",
    "bullet_line_frac",
    "ellipsis_line_frac",
    "alpha_word_frac",
    "alpha_word_frac_no_symbols",
    "n_stop_words",
)


def has_letter(word: str) -> bool:
    """Whether any character of the word is alphabetic (`str.isalpha`)."""
    return word.isalpha() or any(map(str.isalpha, word))


def measure(view: TextView) -> dict[str, float]:
    """Word shape, symbols and bullets.

    `n_words` counts the words that are not all symbols, and `mean_word_length` is their mean
    length in characters. `hash_ratio` ("#") and `ellipsis_ratio` ("..." and U+2026) are
    occurrences in the text over all words, punctuation included; `alpha_word_frac` is the share
    of words with a letter, of all words, and `alpha_word_frac_no_symbols` of those of `n_words`.
    Bullet lines start with U+2022 or "-", after whitespace; empty lines count as lines.
    `n_stop_words` counts distinct stop words, in lower case only.
    """
    text, lines, counts = view.text, view.lines, view.word_counts
    n_all = len(view.words)
    n_words = characters = n_alpha = n_alpha_words = 0
    for word, count in counts.items():
        is_word = not SYMBOLS.issuperset(word)
        if is_word:
            n_words += count
            characters += len(word) * count
        if has_letter(word):
            n_alpha += count
            n_alpha_words += count * is_word
    bullets = sum(line.lstrip().startswith(("\u2022", "-")) for line in lines)
    ellipses = sum(line.rstrip().endswith(("...", "\u2026")) for line in lines)
    return {
        "n_words": float(n_words),
        "mean_word_length": characters / n_words if n_words else 0.0,
        "hash_ratio": text.count("#") / n_all if n_all else 0.0,
        "ellipsis_ratio": (text.count("...") + text.count("\u2026")) / n_all if n_all else 0.0,
        "bullet_line_frac": bullets / len(lines) if lines else 0.0,
        "ellipsis_line_frac": ellipses / len(lines) if lines else 0.0,
        "alpha_word_frac": n_alpha / n_all if n_all else 0.0,
        "alpha_word_frac_no_symbols": n_alpha_words / n_words if n_words else 0.0,
        "n_stop_words": float(sum(word in counts for word in STOP_WORDS)),
    }
