"""Whether a file is a whole, supervised fastText model, before the library is let near it.

The library trusts what it reads: a model cut short by a broken copy makes it divide by zero, fill
the memory, or load and answer nonsense. The layout gives the exact length of a whole file.
Layout: facebookresearch/fastText, src/{fasttext,args,dictionary,densematrix,quantmatrix,
productquantizer}.cc, format version 12.
"""

from __future__ import annotations

import mmap
import struct
from functools import lru_cache
from pathlib import Path

from schemas.errors import InputError

MAGIC = 793712314
"""FASTTEXT_FILEFORMAT_MAGIC_INT32, fasttext.h."""
NEWEST_VERSION = 12
SUPERVISED = 3
"""model_name::sup, args.h."""
CENTROIDS = 256
"""ProductQuantizer::ksub_, productquantizer.h."""


class _Cursor:
    """Walks over a file's bytes; struct.error and ValueError where they end too early."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.position = 0

    def read(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + layout, self._data, self.position)
        self.position += struct.calcsize("<" + layout)
        return values

    def skip(self, count: int, item_bytes: int = 1) -> None:
        if count < 0:
            raise ValueError("a negative count")
        self.position += count * item_bytes

    def skip_word(self) -> None:
        """A NUL-terminated word, its int64 count and int8 type."""
        end = self._data.find(b"\0", self.position)
        if end < 0:
            raise ValueError("a word without an end")
        self.position = end + 10


def check_model_file(path: Path) -> None:
    """Raise InputError unless `path` is a fastText model, supervised, and whole to the byte.

    A file is read once a process: walking over the words of a large model takes seconds.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot read the model {path}: {error.strerror or error}") from error
    _check(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _check(path: Path, size_bytes: int, _modified_ns: int) -> None:
    try:
        with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ) as data:
            cursor = _Cursor(data)
            _header(cursor, path)
            _dictionary(cursor)
            _matrix(cursor)
            _matrix(cursor)
    except OSError as error:
        raise InputError(f"cannot read the model {path}: {error.strerror or error}") from error
    except (struct.error, ValueError) as error:
        raise InputError(f"{path} is no whole fastText model: it ends too early") from error
    if cursor.position != size_bytes:
        raise InputError(
            f"{path} is no whole fastText model: "
            f"{size_bytes:,} bytes instead of {cursor.position:,}; copy it again"
        )


def _header(cursor: _Cursor, path: Path) -> None:
    magic, version = cursor.read("ii")
    if magic != MAGIC or not 0 < version <= NEWEST_VERSION:
        raise InputError(f"{path} is not a fastText model (.bin or .ftz)")
    arguments = cursor.read("12i")
    if arguments[7] != SUPERVISED:
        raise InputError(f"{path} is a fastText model of word vectors, not of labels")
    cursor.read("d")


def _dictionary(cursor: _Cursor) -> None:
    size, _words, _labels, _tokens, pruned = cursor.read("iiiqq")
    for _ in range(size):
        cursor.skip_word()
    cursor.skip(max(pruned, 0), 8)


def _matrix(cursor: _Cursor) -> None:
    (quantised,) = cursor.read("?")
    if not quantised:
        rows, columns = cursor.read("qq")
        cursor.skip(rows * columns, 4)
        return
    normed, rows, _columns, code_bytes = cursor.read("?qqi")
    cursor.skip(code_bytes)
    _quantiser(cursor)
    if normed:
        cursor.skip(rows)
        _quantiser(cursor)


def _quantiser(cursor: _Cursor) -> None:
    dimension, *_ = cursor.read("4i")
    cursor.skip(dimension * CENTROIDS, 4)
