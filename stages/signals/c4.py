"""C4's rules for whole pages (arXiv 1910.10683 section 2.2; tensorflow_datasets text/c4_utils.py).

Meant for the text after the edit `c4_lines`, as in the reference.
"""

from __future__ import annotations

from stages.words import TextView

LONG_LINE_CHARS = 200

NAMES = ("n_sentences", "lorem_ipsum", "curly_bracket", "n_long_lines")


def measure(view: TextView) -> dict[str, float]:
    """Sentences and page marks.

    `n_sentences` counts sentences line by line with the rule of spaCy's sentencizer, which
    datatrove uses (C4 itself used NLTK's punkt). `lorem_ipsum` and `curly_bracket` are 1 where
    the text holds the phrase (any case) or "{". `n_long_lines` counts lines of at least 200
    characters (mC4 wants three; c4_utils.py).
    """
    return {
        "n_sentences": float(view.n_sentences),
        "lorem_ipsum": float("lorem ipsum" in view.text.lower()),
        "curly_bracket": float("{" in view.text),
        "n_long_lines": float(sum(len(line) >= LONG_LINE_CHARS for line in view.text.split("\n"))),
    }
