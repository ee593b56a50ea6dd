"""A tokenizer.json, through the library `tokenizers`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from schemas.errors import InputError, UsageError
from stages.tokens.megatron import TokenArray
from training.tokenizers.contract import Marker, encode_after, is_markup

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SETTINGS = "tokenizer_config.json"
"""The file that names BOS and EOS beside a tokenizer.json."""

_EOS_NAMES = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>")
"""What ends a document in the families of Llama 2 and Mistral, GPT-2 and Qwen, Llama 3, Gemma."""

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")


class HuggingFaceTokenizer:
    """Special tokens are left to the caller, whatever the file's post-processor would add."""

    def __init__(self, path: Path) -> None:
        """Raises InputError (no such file, none of this kind) or UsageError (no EOS)."""
        from tokenizers import Tokenizer

        try:
            text = path.read_text("utf-8")
            self._tokenizer = Tokenizer.from_str(text)
        except OSError as error:
            raise InputError(f"cannot read the tokenizer {path}: {error.strerror}") from error
        except Exception as error:
            # The library raises the bare class.
            raise InputError(f"{path} is not a tokenizer.json: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._name = str(path)
        self._tree: dict[str, Any] = json.loads(text)
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocab_size = max(vocabulary.values()) + 1
        settings = read_settings(path.parent)
        eos = _text(settings.get("eos_token")) or next(
            (n for n in _EOS_NAMES if n in vocabulary), None
        )
        if eos not in vocabulary:
            raise UsageError(
                f"{path} says nothing of an end-of-sequence token; put a {SETTINGS} beside it "
                'with "eos_token"'
            )
        self.eos_token: str = eos
        self.eos_id = vocabulary[eos]
        bos = _text(settings.get("bos_token"))
        self.bos_token: str | None = bos if bos in vocabulary else None
        self.bos_id: int | None = None if bos is None else vocabulary.get(bos)
        self._settings = settings
        self._dtype = np.uint16 if self.vocab_size <= 1 << 16 else np.uint32

    @property
    def adds_bos(self) -> bool:
        """Whether the file itself puts BOS in front of every text."""
        ids = self._tokenizer.encode("", add_special_tokens=True).ids
        return self.bos_id is not None and ids[:1] == [self.bos_id]

    @cached_property
    def token_names(self) -> Mapping[str, str]:
        """All that the settings name (`unk_token`, `pad_token`, ...), and BOS and EOS."""
        told = {key: _text(value) for key, value in self._settings.items() if _is_name(key, value)}
        known = {key: name for key, name in told.items() if name is not None}
        bos = {} if self.bos_token is None else {"bos_token": self.bos_token}
        return {**known, **bos, "eos_token": self.eos_token}

    @cached_property
    def markers(self) -> Mapping[str, Marker]:
        """The added tokens, and BOS and EOS; those that the file calls special are for control."""
        ends = {self.eos_token: Marker(self.eos_id, control=True)}
        if self.bos_token is not None and self.bos_id is not None:
            ends[self.bos_token] = Marker(self.bos_id, control=True)
        return ends | {
            token["content"]: Marker(
                token["id"], token["special"], token["lstrip"], token["rstrip"]
            )
            for token in self._tree.get("added_tokens") or ()
            if is_markup(token["content"], token["special"])
        }

    def encode(self, text: str) -> TokenArray:
        """Ids of a text, without BOS and EOS; names of special tokens in it become their ids.
        Raises InputError for lone surrogates."""
        return self._encode(self._tokenizer, text)

    def encode_parts(self, parts: Sequence[int | str]) -> list[list[int]]:
        """Ids of each part. Where the file puts a space in front of a text, it does so at the
        start, after ids if it does after special tokens, and never where text follows text."""
        adds_space, also_after_ids = self._spaces_in_front
        found: list[list[int]] = []
        bare = False
        for part in parts:
            if isinstance(part, int):
                found.append([part])
                bare = not also_after_ids
                continue
            ids = encode_after(self._spell, part) if bare and adds_space else self._spell(part)
            found.append(ids.tolist())
            bare = bare or bool(part)
        return found

    @cached_property
    def _speller(self) -> Tokenizer:
        """The same tokenizer, blind for special tokens in a text."""
        from tokenizers import Tokenizer

        speller = Tokenizer.from_str(self._tokenizer.to_str())
        speller.encode_special_tokens = True
        return speller

    @cached_property
    def _spaces_in_front(self) -> tuple[bool, bool]:
        """Whether texts get a space in front, and whether those after a special token do."""
        first = self.encode("a").tolist()
        second = self.encode(self.eos_token + "a").tolist()[1:]
        return first != encode_after(self.encode, "a").tolist(), second == first

    def _spell(self, text: str) -> TokenArray:
        return self._encode(self._speller, text)

    def _encode(self, tokenizer: Tokenizer, text: str) -> TokenArray:
        try:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
        except (UnicodeEncodeError, TypeError):
            raise InputError(f"{self._name} cannot encode a text with lone surrogates") from None
        return np.array(ids, dtype=self._dtype)

    def decode(self, tokens: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Text of ids without special tokens. Raises UsageError for an id that is none."""
        ids = np.asarray(tokens, dtype=np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.vocab_size:
            raise UsageError(
                f"token ids from {ids.min()} to {ids.max()} do not fit {self._name}, "
                f"which has ids 0 to {self.vocab_size - 1}"
            )
        return self._tokenizer.decode(ids.tolist(), skip_special_tokens=True)

    def byte_lengths(self) -> npt.NDArray[np.int64]:
        """UTF-8 bytes of text that each id stands for, [vocab_size]; 0 for special tokens.

        Byte-level pieces write each byte as one character (GPT-2's encoder.py); in others U+2581
        is a space and <0x0A> a byte. What a normalizer changes in a text is not accounted for.
        """
        added = {token["id"]: token for token in self._tree.get("added_tokens") or ()}
        by_character = _has_type(self._tree.get("decoder"), "ByteLevel")
        lengths = np.zeros(self.vocab_size, dtype=np.int64)
        for piece, number in self._tokenizer.get_vocab(with_added_tokens=True).items():
            if number in added:
                special = added[number]["special"]
                lengths[number] = 0 if special else len(piece.encode())
            elif by_character:
                lengths[number] = len(piece)
            elif _BYTE_PIECE.fullmatch(piece):
                lengths[number] = 1
            else:
                lengths[number] = len(piece.replace("\u2581", " ").encode())
        return lengths


def read_settings(folder: Path) -> dict[str, Any]:
    """The tokenizer_config.json of a folder; empty where there is none. Raises InputError."""
    path = folder / SETTINGS
    try:
        tree = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds no object")
    return tree


def _text(token: str | dict[str, Any] | None) -> str | None:
    """A special token as text: it may be given with its flags."""
    return token.get("content") if isinstance(token, dict) else token


def _is_name(key: str, value: Any) -> bool:
    return key.endswith("_token") and isinstance(value, str | dict)


def _has_type(part: Any, name: str) -> bool:
    if not isinstance(part, dict):
        return False
    return part.get("type") == name or any(_has_type(p, name) for p in part.get("decoders") or ())
