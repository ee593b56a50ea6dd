"""What a SentencePiece model file says, beyond what the library's processor tells.

The library's own reader needs a protobuf of its own version. Field numbers are those of
sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

from schemas.errors import InputError


class Kind(IntEnum):
    """Types of pieces."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Piece(NamedTuple):
    """An entry of the vocabulary; its place is its id."""

    text: str
    score: float
    kind: Kind


class SentencePieceFile(NamedTuple):
    """A model."""

    pieces: list[Piece]
    is_unigram: bool
    is_bpe: bool
    byte_fallback: bool
    charsmap: bytes
    """The compiled normalisation; empty for text as it is."""
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool

    @classmethod
    def parse(cls, content: bytes, name: str) -> SentencePieceFile:
        """Read a model; `name` is what errors call it. Raises InputError."""
        try:
            model = _fields(content)
            trainer = _fields(_last(model, 2, b""))
            normalizer = _fields(_last(model, 3, b""))
            kind = _last(trainer, 3, 1)
            return cls(
                pieces=[_piece(entry) for entry in model.get(1, [])],
                is_unigram=kind == 1,
                is_bpe=kind == 2,
                byte_fallback=bool(_last(trainer, 35, 0)),
                charsmap=_last(normalizer, 2, b""),
                add_dummy_prefix=bool(_last(normalizer, 3, 1)),
                remove_extra_whitespaces=bool(_last(normalizer, 4, 1)),
            )
        except (ValueError, IndexError, struct.error, TypeError) as error:
            raise InputError(f"{name} is no SentencePiece model: {error}") from error


_Fields = dict[int, list[int | bytes]]


def _piece(content: int | bytes) -> Piece:
    fields = _fields(content)
    text = _last(fields, 1, b"").decode("utf-8")
    (score,) = struct.unpack("<f", _last(fields, 2, b"\0\0\0\0"))
    return Piece(text, score, Kind(_last(fields, 3, Kind.NORMAL)))


def _last(fields: _Fields, number: int, default: Any) -> Any:
    return fields.get(number, [default])[-1]


def _fields(content: Any) -> _Fields:
    """The fields of a protobuf message by number: whole numbers, or bytes."""
    if not isinstance(content, bytes):
        raise TypeError("a number in the place of a message")
    found: _Fields = {}
    for number, value in _read(content):
        found.setdefault(number, []).append(value)
    return found


def _read(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(content, at)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or at + size > len(content):
            raise ValueError("it ends early")
        yield key >> 3, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
