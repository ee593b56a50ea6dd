"""A SentencePiece model as a tokenizer of whole documents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sentencepiece

from schemas.errors import InputError, UsageError
from stages.tokens.megatron import TokenArray
from stages.tokens.train import SPACE_PIECE

_UINT16_IDS = 1 << 16


class Tokenizer:
    """Text to token ids and back. Neither BOS nor EOS is added: the caller appends `eos_id`.

    Ids come from the model alone, so equal `sha256` means equal tokens. Instances can be pickled
    and used from several threads.
    """

    def __init__(self, model: bytes, name: str) -> None:
        """Take the bytes of a model; `name` is what errors call it.

        Raises InputError when they are no SentencePiece model, UsageError when the model has no
        end-of-sequence piece.
        """
        self._processor = _processor(model, name)
        self._name = name
        self.sha256 = hashlib.sha256(model).hexdigest()
        """sha256 of the model file."""
        self.vocab_size: int = self._processor.vocab_size()
        """Number of pieces: every id is smaller."""
        self.eos_id: int = self._processor.eos_id()
        """Id of the end-of-sequence piece."""
        if self.eos_id < 0:
            raise UsageError(
                f"{name} has no end-of-sequence piece, which ends each document in a shard; "
                "give a model trained with eos_id >= 0"
            )
        bos_id = self._processor.bos_id()
        self.bos_id: int | None = bos_id if bos_id >= 0 else None
        """Id of the beginning-of-sequence piece, which shards do not have."""
        self.dtype: Literal["uint16", "uint32"] = (
            "uint16" if self.vocab_size <= _UINT16_IDS else "uint32"
        )
        """The narrowest type of a shard that holds every id."""
        self._space_character = self._ids_of_space_character()

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a model file. Raises InputError (missing, no model) or UsageError (no EOS)."""
        try:
            model = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read the tokenizer {path}: {error.strerror}") from error
        return cls(model, str(path))

    def encode(self, text: str) -> TokenArray:
        """Token ids of one text, in `dtype`. Raises InputError for lone surrogates."""
        if self._space_character is not None and SPACE_PIECE in text:
            return self._encode_exactly(text, self._space_character)
        return np.array(self._ids(text), dtype=self.dtype)

    def encode_batch(self, texts: Sequence[str], *, threads: int = 1) -> list[TokenArray]:
        """Token ids of each text, as `encode`. One thread unless told otherwise: Beam gives the
        parallelism."""
        batch = self._ids(list(texts), threads)
        encoded: list[TokenArray] = [np.array(ids, dtype=self.dtype) for ids in batch]
        if self._space_character is not None:
            for number, text in enumerate(texts):
                if SPACE_PIECE in text:
                    encoded[number] = self._encode_exactly(text, self._space_character)
        return encoded

    def decode(self, tokens: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Text of token ids; control pieces (BOS, EOS, padding) leave nothing.

        Raises UsageError for an id outside the vocabulary.
        """
        ids = np.asarray(tokens, dtype=np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.vocab_size:
            raise UsageError(
                f"token ids from {ids.min()} to {ids.max()} do not fit {self._name}, "
                f"which has ids 0 to {self.vocab_size - 1}"
            )
        return self._processor.decode(ids.tolist())

    def byte_lengths(self) -> npt.NDArray[np.int64]:
        """UTF-8 bytes of text that each id stands for, [vocab_size]; 0 for control and unknown
        pieces. A space that the model puts in front of every text counts where it is joined to a
        word."""
        processor = self._processor
        lengths = np.zeros(self.vocab_size, dtype=np.int64)
        for piece in range(self.vocab_size):
            if processor.is_byte(piece):
                lengths[piece] = 1
            elif not (processor.is_control(piece) or processor.is_unknown(piece)):
                text = processor.id_to_piece(piece).replace(SPACE_PIECE, " ")
                lengths[piece] = len(text.encode())
        return lengths

    def _encode_exactly(self, text: str, space_character: list[int]) -> TokenArray:
        """SentencePiece writes a space as U+2581, so a real U+2581 would come back as a space."""
        first, *rest = text.split(SPACE_PIECE)
        ids = self._ids(first)
        for part in rest:
            ids += space_character
            ids += self._ids(part)
        return np.array(ids, dtype=self.dtype)

    def _ids(self, text: str | list[str], threads: int = 1) -> list[Any]:
        try:
            return self._processor.encode(text, out_type=int, num_threads=threads)
        except (RuntimeError, TypeError):
            # The binding says no more of a text that is no UTF-8 than that it is no string.
            if _has_surrogates(text if isinstance(text, str) else "".join(text)):
                raise InputError(
                    f"{self._name} cannot encode a text with lone surrogates"
                ) from None
            raise

    def _ids_of_space_character(self) -> list[int] | None:
        """U+2581 as byte pieces; None where the model cannot keep it apart from a space: it has
        no byte pieces, or adds a space in front of every text it encodes."""
        bytes_of_it = SPACE_PIECE.encode()
        ids = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in bytes_of_it]
        if not all(self._processor.is_byte(piece) for piece in ids):
            return None
        adds_space = "".join(self._processor.encode("a", out_type=str)).startswith(SPACE_PIECE)
        return None if adds_space else ids


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _processor(model: bytes, name: str) -> sentencepiece.SentencePieceProcessor:
    # No bytes at all are a valid message to the library, and a model without pieces.
    if not model:
        raise InputError(f"{name} is empty, not a SentencePiece model")
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError:
        raise InputError(f"{name} is not a SentencePiece model") from None
    if processor.vocab_size() == 0:
        raise InputError(f"{name} is a SentencePiece model without pieces")
    return processor
