"""ROUGE-L between instructions: is a new one like any that is there?"""

from __future__ import annotations

import re
from typing import NamedTuple

from rapidfuzz.distance import LCSseq

from stages.dedup.shingles import words_of

_TOKEN = re.compile(r"[a-z0-9]+")
_BEYOND_LATIN = re.compile(r"[\u0370-\u1dff\u1f00-\U0010ffff]")
"""Characters after Latin's blocks, of which it has one more at 1E00."""


def rouge_tokens(text: str) -> list[str]:
    """Lower-case runs of ASCII letters and digits: rouge-score's tokens without its stemmer. Text
    with letters beyond the Latin ones, or with no token, has the words of near-duplicate detection:
    of a Chinese task that names Python, rouge-score sees `python` alone."""
    found = [] if beyond_latin(text) else _TOKEN.findall(text.lower())
    return found or words_of(text, numbers=True)


def beyond_latin(text: str) -> bool:
    """Whether there is a letter of another script."""
    return any(map(str.isalpha, _BEYOND_LATIN.findall(text)))


def rouge_l(left: str, right: str) -> float:
    """F-measure of ROUGE-L (Lin 2004, section 3): 2 LCS / (m + n) over tokens; 0 without any."""
    a, b = rouge_tokens(left), rouge_tokens(right)
    return 2 * LCSseq.similarity(a, b) / (len(a) + len(b)) if a and b else 0.0


class Nearest(NamedTuple):
    """The instruction most like a new one."""

    id: str
    score: float


class InstructionPool:
    """Instructions by id, and the search for one that is too much like a new one."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        # Seeds that several files were put together from may share an id.
        self._tokens: list[tuple[str, list[str]]] = []

    def __len__(self) -> int:
        return len(self._tokens)

    def add(self, id: str, text: str) -> None:
        """Take an instruction in."""
        self._tokens.append((id, rouge_tokens(text)))

    def like(self, text: str) -> Nearest | None:
        """The first of the most similar ones with ROUGE-L >= threshold (Self-Instruct keeps what
        is below 0.7, arXiv 2212.10560, section 2.2)."""
        new, best = rouge_tokens(text), None
        for id, there in self._tokens:
            whole = len(new) + len(there)
            least = best.score if best is not None else self._threshold
            # The common part is no longer than the shorter one.
            if not new or not there or 2 * min(len(new), len(there)) / whole < least:
                continue
            score = 2 * LCSseq.similarity(new, there) / whole
            if score >= self._threshold and (best is None or score > best.score):
                best = Nearest(id, score)
        return best
