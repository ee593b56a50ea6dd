"""What training and generation ask of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from stages.tokens.megatron import TokenArray

_LEADS = ("\n", "\x01")
"""Texts of which no tokenizer makes a piece together with what may follow."""


class Marker(NamedTuple):
    """An entry of the vocabulary that is no part of words, under its name."""

    id: int
    control: bool
    """No text becomes it: `encode_parts` spells its name. Others are found in texts."""
    strips_left: bool = False
    strips_right: bool = False
    """Whether it takes the white space beside it (AddedToken of the library `tokenizers`)."""


class Tokenizer(Protocol):
    """Text to token ids and back."""

    vocab_size: int
    """Every id is smaller."""
    eos_id: int
    """Ends every document."""
    bos_id: int | None
    """Begins every document of models trained elsewhere; ours see none."""

    @property
    def token_names(self) -> Mapping[str, str]:
        """`eos_token`, `bos_token` and the like: the names of `eos_id`, `bos_id`."""

    @property
    def markers(self) -> Mapping[str, Marker]:
        """By name; see `is_markup`."""

    def encode(self, text: str) -> TokenArray:
        """Ids of a text, without BOS and EOS. Raises InputError for lone surrogates."""

    def encode_parts(self, parts: Sequence[int | str]) -> list[list[int]]:
        """Ids of each part of one text: an id stands for itself; a text holds no control tokens,
        whatever it says, and does not join what stands beside it. Raises InputError for lone
        surrogates."""

    def decode(self, tokens: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Text of ids; BOS, EOS and the like leave nothing. Raises UsageError for an id that is
        none."""

    def byte_lengths(self) -> npt.NDArray[np.int64]:
        """UTF-8 bytes of text that each id stands for, [vocab_size]; 0 for BOS, EOS and the
        like."""


def is_markup(text: str, control: bool) -> bool:
    """Whether an entry with this name is a `Marker`. White space and single characters are
    ordinary text, unless the vocabulary says that they are for control."""
    return control or (len(text) > 1 and not text.isspace())


def encode_after(encode: Callable[[str], TokenArray], text: str) -> TokenArray:
    """Ids of a text that goes on after other text: without the space that some models put in
    front of what they encode."""
    for lead in _LEADS:
        start, whole = encode(lead), encode(lead + text)
        if len(start) and whole[: len(start)].tolist() == start.tolist():
            return whole[len(start) :]
    return encode(text)


def prompt_tokens(tokenizer: Tokenizer, text: str, *, bos: bool = False) -> list[int]:
    """Ids of a text to be continued, with BOS in front where `bos` is set and there is one. What
    would be empty is EOS: what comes before every document but the first."""
    start = [tokenizer.bos_id] if bos and tokenizer.bos_id is not None else []
    return start + tokenizer.encode(text).tolist() or [tokenizer.eos_id]


def continuation(tokenizer: Tokenizer, prompt: Sequence[int], tokens: Sequence[int]) -> str:
    """Text that `tokens` add to `prompt`. Decoded by themselves they would lose the space that
    SentencePiece takes from the front of a text."""
    before, whole = tokenizer.decode(prompt), tokenizer.decode([*prompt, *tokens])
    return whole[len(before) :] if whole.startswith(before) else tokenizer.decode(tokens)


def pieces(tokenizer: Tokenizer, prompt: Sequence[int], tokens: Iterable[int]) -> Iterator[str]:
    """`continuation` of `prompt` in parts, each as soon as its tokens are there: characters whose
    bytes lie in several tokens come whole."""
    taken: list[int] = []
    shown = ""
    for token in tokens:
        taken.append(token)
        text = continuation(tokenizer, prompt, taken)
        # U+FFFD at the end may become another character with the next token.
        if text.startswith(shown) and len(text) > len(shown) and text[-1] != "\ufffd":
            yield text[len(shown) :]
            shown = text
    text = continuation(tokenizer, prompt, taken)
    if text.startswith(shown) and len(text) > len(shown):
        yield text[len(shown) :]
