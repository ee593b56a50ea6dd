"""FineWeb's own rules (arXiv 2406.17557 section 3.6), as run.

Definitions of datatrove 0.10.1, filters/fineweb_quality_filter.py. `list_ratio` is in the code
only; the paper gives .1 where the code that was run has .01 for `char_dup_ratio`.
"""

from __future__ import annotations

from stages.signals.gopher_repetition import seen_before
from stages.signals.marks import TERMINAL
from stages.words import TextView

SHORT_LINE_CHARS = 30

NAMES = ("line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio")


def measure(view: TextView) -> dict[str, float]:
    """Line shapes, over the lines that hold more than whitespace.

    `line_punct_ratio`: lines ending in a sentence mark of any script (a space after it spoils
    it). `short_line_ratio`: lines of at most 30 characters. `char_dup_ratio`: characters of lines
    seen before, over characters that are not newlines. `list_ratio`: newlines over words,
    punctuation included.
    """
    text = view.text
    lines = [line for line in text.split("\n") if line.strip()]
    newlines = text.count("\n")
    if not lines:
        return dict.fromkeys(NAMES, 0.0)
    n_words = len(view.words)
    return {
        "line_punct_ratio": sum(line[-1] in TERMINAL for line in lines) / len(lines),
        "short_line_ratio": sum(len(line) <= SHORT_LINE_CHARS for line in lines) / len(lines),
        "char_dup_ratio": seen_before(lines)[1] / (len(text) - newlines),
        "list_ratio": newlines / n_words if n_words else 0.0,
    }
