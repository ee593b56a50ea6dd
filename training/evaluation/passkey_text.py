"""Texts that hide a pass key: filler, the key at some depth, filler, and a question at the end.

The form is that of Mohtashami and Jaggi (arXiv 2305.16300, section 4.2), by which Chen et al.
(arXiv 2306.15595, section 3.3.3) measure extended contexts. The sentences are our own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from schemas.errors import UsageError
from training.tokenizers import Tokenizer

FILLER = (
    "Rain fell on the far hills. ",
    "A boat went out at noon. ",
    "Birds sat along the wall. ",
    "Old men told a story. ",
)
"""Repeated in this order, with a start of its own in each text."""

NEEDLE = "The pass key is {key}. Remember {key}. "
QUESTION = "The pass key is"


class Passkey(NamedTuple):
    """A text and the key in it."""

    text: str
    """Ends with the beginning of an answer."""
    key: str
    depth: float
    """Share of the filler that stands before the key, from 0 to 1."""


def hidden_key(
    tokenizer: Tokenizer, length: int, depth: float, digits: int, draw: random.Random
) -> Passkey:
    """A text that, answered, has at most `length` tokens, and as many as whole sentences allow.

    Raises UsageError where not even the question fits.
    """
    key = "".join(draw.choice("0123456789") for _ in range(digits))
    start = draw.randrange(len(FILLER))
    # One more than the answer's own tokens: what continues a text may be cut otherwise there.
    room = length - 1 - len(tokenizer.encode(f" {key}."))
    low, high = 0, room
    while low < high:
        middle = (low + high + 1) // 2
        text = passkey_text(key, start, middle, depth)
        fits = len(tokenizer.encode(text)) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    text = passkey_text(key, start, max(low, 0), depth)
    if len(tokenizer.encode(text)) > room:
        raise UsageError(f"{length} tokens are too few for a pass key and its question")
    return Passkey(text, key, depth)


def passkey_text(key: str, start: int, sentences: int, depth: float) -> str:
    """The text with so many sentences of filler, of which `start` is the first."""
    filler = [FILLER[(start + number) % len(FILLER)] for number in range(sentences)]
    before = round(depth * sentences)
    parts: Sequence[str] = [
        *filler[:before], NEEDLE.format(key=key), *filler[before:], QUESTION
    ]  # fmt: skip
    return "".join(parts)
