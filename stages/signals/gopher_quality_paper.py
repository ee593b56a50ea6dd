"""Gopher's quality rules (MassiveText, arXiv 2112.11446 app. A.1.1) over words between spaces.

The paper does not say what a word is. This is DCLM's reading of it (mlfoundations/dclm,
baselines/mappers/filters/content_filters.py): words stand between whitespace and keep their
punctuation, more bullets and the spaced ellipsis count, and stop words count in any case.
"""

from __future__ import annotations

from stages.signals.gopher_quality import STOP_WORDS, has_letter
from stages.signals.marks import SYMBOLS
from stages.words import TextView

_BULLETS = ("\u25cf", "\u2022", "*", "-")
_ELLIPSES = ("...", ". . .", "\u2026")

NAMES = (
    "n_words",
    "mean_word_length",
    "symbol_ratio",
    "hash_ratio",
    "ellipsis_ratio",
    "bullet_line_frac",
    "ellipsis_line_frac",
    "alpha_word_frac",
    "n_stop_words",
    "n_stop_word_occurrences",
)


def measure(view: TextView) -> dict[str, float]:
    """Word shape, symbols and bullets over whitespace-separated words.

    `n_words` leaves out words that are all punctuation. `symbol_ratio` is "#" and ellipses
    together over words, as DCLM limits it; the paper limits `hash_ratio` and `ellipsis_ratio`
    separately. Lines that hold only whitespace do not count. `n_stop_words` counts distinct stop
    words (the paper's text), `n_stop_word_occurrences` all of them (DCLM's default).
    """
    text, words = view.text, view.text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    n_all = len(words)
    hashes = text.count("#")
    ellipses = sum(map(text.count, _ELLIPSES))
    stops = [word for word in map(str.lower, words) if word in STOP_WORDS]
    return {
        "n_words": float(sum(not SYMBOLS.issuperset(word) for word in words)),
        "mean_word_length": sum(map(len, words)) / n_all if n_all else 0.0,
        "symbol_ratio": (hashes + ellipses) / n_all if n_all else 0.0,
        "hash_ratio": hashes / n_all if n_all else 0.0,
        "ellipsis_ratio": ellipses / n_all if n_all else 0.0,
        "bullet_line_frac": (
            sum(line.startswith(_BULLETS) for line in lines) / len(lines) if lines else 0.0
        ),
        "ellipsis_line_frac": (
            sum(line.endswith(_ELLIPSES) for line in lines) / len(lines) if lines else 0.0
        ),
        "alpha_word_frac": sum(map(has_letter, words)) / n_all if n_all else 0.0,
        "n_stop_words": float(len(set(stops))),
        "n_stop_word_occurrences": float(len(stops)),
    }
