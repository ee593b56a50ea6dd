"""Sizes and character shares of a text, on which no anchor disagrees."""

from __future__ import annotations

from stages.words import TextView

NAMES = (
    "n_chars",
    "n_words",
    "n_lines",
    "n_paragraphs",
    "n_sentences",
    "mean_line_chars",
    "alpha_char_frac",
    "digit_char_frac",
    "upper_char_frac",
    "unique_word_frac",
)


def measure(view: TextView) -> dict[str, float]:
    """Counts are of Unicode characters, of words with punctuation marks, and of lines that hold
    more than whitespace; `upper_char_frac` is a share of the letters, `unique_word_frac` distinct
    words over words, the other shares are of all characters."""
    text = view.text
    lines = [line for line in view.lines if line.strip()]
    letters = sum(map(str.isalpha, text))
    n_chars, n_words = len(text), len(view.words)
    return {
        "n_chars": float(n_chars),
        "n_words": float(n_words),
        "n_lines": float(len(lines)),
        "n_paragraphs": float(len(view.paragraphs) if lines else 0),
        "n_sentences": float(view.n_sentences),
        "mean_line_chars": sum(map(len, lines)) / len(lines) if lines else 0.0,
        "alpha_char_frac": letters / n_chars if n_chars else 0.0,
        "digit_char_frac": sum(map(str.isdigit, text)) / n_chars if n_chars else 0.0,
        "upper_char_frac": sum(map(str.isupper, text)) / letters if letters else 0.0,
        "unique_word_frac": len(view.word_counts) / n_words if n_words else 0.0,
    }
