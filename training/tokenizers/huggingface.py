"""A tokenizer.json, through the library `tokenizers`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import InputError, UsageError
from stages.tokens.megatron import TokenArray

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
        self._dtype = np.uint16 if self.vocab_size <= 1 << 16 else np.uint32

    @property
    def adds_bos(self) -> bool:
        """Whether the file itself puts BOS in front of every text."""
        ids = self._tokenizer.encode("", add_special_tokens=True).ids
        return self.bos_id is not None and ids[:1] == [self.bos_id]

    def encode(self, text: str) -> TokenArray:
        """Ids of a text, without BOS and EOS. Raises InputError for lone surrogates."""
        try:
            ids = self._tokenizer.encode(text, add_special_tokens=False).ids
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


def _has_type(part: Any, name: str) -> bool:
    if not isinstance(part, dict):
        return False
    return part.get("type") == name or any(_has_type(p, name) for p in part.get("decoders") or ())
