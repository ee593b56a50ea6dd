"""Texts that hide a pass key: filler, the key at some depth, filler, and a question at the end.

The form is that of Mohtashami and Jaggi (arXiv 2305.16300, section 4.2), by which Chen et al.
(arXiv 2306.15595, section 3.3.3) measure extended contexts. The sentences are our own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
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


class Drawn(NamedTuple):
    """What is hidden, and where."""

    key: str
    start: int
    """The sentence of FILLER that begins the text."""
    depth: float
    """Share of the filler that stands before the key, from 0 to 1."""


class Passkey(NamedTuple):
    """A text and the key in it."""

    text: str
    """Ends with the beginning of an answer."""
    key: str
    depth: float


def draw_key(depth: float, digits: int, draw: random.Random) -> Drawn:
    """A key of so many digits, and how its text begins."""
    key = "".join(draw.choice("0123456789") for _ in range(digits))
    return Drawn(key, draw.randrange(len(FILLER)), depth)


def answer_room(tokenizer: Tokenizer, keys: Iterable[str]) -> int:
    """Tokens that are enough to answer with any of the keys: tokenizers cut digits in groups, so
    that some keys take more than others."""
    # One more than an answer's own tokens: what continues a text may be cut otherwise there.
    return 1 + max(len(tokenizer.encode(f" {key}.")) for key in keys)


def hide_keys(tokenizer: Tokenizer, length: int, room: int, keys: Sequence[Drawn]) -> list[Passkey]:
    """Texts that leave `room` of `length` tokens for an answer: all with as many sentences of
    filler, as many as fit into each of them.

    Raises UsageError where not even the question fits.
    """
    sentences = min(_most_sentences(tokenizer, length - room, one) for one in keys)
    if sentences < 0:
        raise UsageError(f"{length} tokens are too few for a pass key and its question")
    return [
        Passkey(passkey_text(one.key, one.start, sentences, one.depth), one.key, one.depth)
        for one in keys
    ]


def _most_sentences(tokenizer: Tokenizer, tokens: int, one: Drawn) -> int:
    """The most of which the text has at most so many tokens; -1 where it has more without any."""
    low, high = -1, max(tokens, -1)
    while low < high:
        middle = (low + high + 1) // 2
        text = passkey_text(one.key, one.start, middle, one.depth)
        fits = len(tokenizer.encode(text)) <= tokens
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def passkey_text(key: str, start: int, sentences: int, depth: float) -> str:
    """The text with so many sentences of filler, of which `start` is the first."""
    filler = [FILLER[(start + number) % len(FILLER)] for number in range(sentences)]
    before = round(depth * sentences)
    parts: Sequence[str] = [
        *filler[:before], NEEDLE.format(key=key), *filler[before:], QUESTION
    ]  # fmt: skip
    return "".join(parts)
