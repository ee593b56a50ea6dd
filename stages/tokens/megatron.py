"""The Megatron indexed dataset (MMIDIDX version 1): writing one and reading its index.

Layout, all little-endian, as Megatron-LM's megatron/core/datasets/indexed_dataset.py reads it:

    PREFIX.bin  the tokens of all sequences, one after another
    PREFIX.idx  9 bytes  magic "MMIDIDX", NUL, NUL
                uint64   version, 1
                uint8    code of the token type
                uint64   number of sequences, S
                uint64   number of document indices, D
                int32[S] tokens of each sequence
                int64[S] byte offset of each sequence in PREFIX.bin
                int64[D] first sequence of each document, and S at the end

Here a document is one sequence, so D = S + 1 and the document indices count from 0 to S.

Megatron's table of types has no uint32. Tokens of a large vocabulary are therefore written under
the code of int32, as Megatron's own tools and datatrove do: the bytes are the same for ids below
2**31, and the manifest says uint32.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import uuid
from array import array
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import InputError, OutputError

TokenDtype = Literal["uint16", "uint32"]
TokenArray = npt.NDArray[np.uint16 | np.uint32]

DTYPE_CODES: dict[TokenDtype, int] = {"uint16": 8, "uint32": 4}
"""Our token types under the codes that Megatron knows: 8 is uint16, 4 is int32."""

LARGEST_ID: dict[TokenDtype, int] = {"uint16": (1 << 16) - 1, "uint32": (1 << 31) - 1}

MAX_SEQUENCE_TOKENS = (1 << 31) - 1
"""Sequence lengths are int32."""

_MAGIC = b"MMIDIDX\0\0"
_VERSION = 1
_HEADER = struct.Struct("<9sQBQQ")
_DTYPES = {code: name for name, code in DTYPE_CODES.items()}


class WrittenShard(NamedTuple):
    """What a manifest entry needs to know of a shard."""

    docs: int
    tokens: int
    bin_sha256: str
    idx_sha256: str


class IndexedStream:
    """Writes documents to an open binary handle and keeps the index of them in memory.

    For stores that are no local folder; `ShardWriter` is the same with files. The index takes 4
    bytes a document until `index()` builds it (20 bytes a document).
    """

    def __init__(self, handle: BinaryIO, dtype: TokenDtype) -> None:
        self.dtype: TokenDtype = dtype
        self.tokens = 0
        """Tokens written so far."""
        self._handle = handle
        self._lengths_tokens = array("i")
        self._digest = hashlib.sha256()

    @property
    def docs(self) -> int:
        """Documents written so far."""
        return len(self._lengths_tokens)

    @property
    def bin_sha256(self) -> str:
        """sha256 of all bytes written so far."""
        return self._digest.hexdigest()

    def write(self, tokens: npt.NDArray[np.integer]) -> None:
        """Append one document, its EOS included.

        Raises ValueError for an array that is empty, not one-dimensional, no integers, too long,
        or holds an id that the type cannot carry.
        """
        data = _encoded(tokens, self.dtype)
        self._handle.write(data)
        self._digest.update(data)
        self._lengths_tokens.append(len(tokens))
        self.tokens += len(tokens)

    def index(self) -> bytes:
        """The whole .idx file for what was written so far."""
        lengths = np.frombuffer(self._lengths_tokens, dtype=np.int32)
        ends = np.cumsum(lengths, dtype=np.int64) * np.dtype(self.dtype).itemsize
        pointers = np.concatenate([np.zeros(1, dtype=np.int64), ends])[: len(lengths)]
        header = _HEADER.pack(
            _MAGIC, _VERSION, DTYPE_CODES[self.dtype], len(lengths), len(lengths) + 1
        )
        return b"".join(
            (
                header,
                lengths.astype("<i4").tobytes(),
                pointers.astype("<i8").tobytes(),
                np.arange(len(lengths) + 1, dtype="<i8").tobytes(),
            )
        )


class ShardWriter:
    """One shard as PREFIX.bin and PREFIX.idx on a local file system.

    Tokens stream to temporary names beside the target; `close()` renames both, the index last, so
    a shard with an index is whole. As a context manager it closes on success and removes the
    temporary files when the block raises. A shard without documents is valid for our reader, but
    Megatron cannot map its empty .bin.
    """

    def __init__(self, prefix: str | Path, dtype: TokenDtype) -> None:
        """Open the temporary file. Raises OutputError when the folder does not take it."""
        self._bin = Path(f"{prefix}.bin")
        self._idx = Path(f"{prefix}.idx")
        suffix = f".{uuid.uuid4().hex[:8]}.tmp"
        self._bin_temporary = self._bin.with_name(self._bin.name + suffix)
        self._idx_temporary = self._idx.with_name(self._idx.name + suffix)
        self._written: WrittenShard | None = None
        try:
            self._handle = self._bin_temporary.open("wb", buffering=1 << 20)
        except OSError as error:
            raise OutputError(f"cannot write the shard {self._bin}: {error.strerror}") from error
        self._stream = IndexedStream(self._handle, dtype)

    @property
    def docs(self) -> int:
        """Documents written so far."""
        return self._stream.docs

    @property
    def tokens(self) -> int:
        """Tokens written so far."""
        return self._stream.tokens

    def write(self, tokens: npt.NDArray[np.integer]) -> None:
        """Append one document, its EOS included. Raises ValueError as `IndexedStream.write`,
        OutputError when the disk does not take it."""
        try:
            self._stream.write(tokens)
        except OSError as error:
            self.discard()
            raise OutputError(f"cannot write the shard {self._bin}: {error.strerror}") from error

    def close(self) -> WrittenShard:
        """Finish both files under their names and say what they hold. A second call repeats it.

        Raises OutputError when the disk does not take them; nothing is left behind then.
        """
        if self._written is None:
            index = self._stream.index()
            try:
                self._handle.flush()
                os.fsync(self._handle.fileno())
                self._handle.close()
                self._idx_temporary.write_bytes(index)
                self._bin_temporary.replace(self._bin)
                self._idx_temporary.replace(self._idx)
            except OSError as error:
                self.discard()
                raise OutputError(
                    f"cannot write the shard {self._bin}: {error.strerror}"
                ) from error
            self._written = WrittenShard(
                self.docs, self.tokens, self._stream.bin_sha256, hashlib.sha256(index).hexdigest()
            )
        return self._written

    def discard(self) -> None:
        """Remove the temporary files and keep nothing."""
        # A full disk fails the flush once more; the handle is closed all the same.
        with contextlib.suppress(OSError):
            self._handle.close()
        self._bin_temporary.unlink(missing_ok=True)
        self._idx_temporary.unlink(missing_ok=True)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


class SequenceIndex(NamedTuple):
    """An .idx file, memory-mapped."""

    dtype: TokenDtype
    lengths_tokens: npt.NDArray[np.int32]
    offsets_bytes: npt.NDArray[np.int64]
    """Where each sequence starts in the .bin file."""
    documents: npt.NDArray[np.int64]
    """First sequence of each document, and the number of sequences at the end."""

    @classmethod
    def open(cls, path: str | Path) -> SequenceIndex:
        """Map an index; reads its header only.

        Raises InputError for a file that is missing, no MMIDIDX version 1, of a token type other
        than uint16 and int32, or of another size than its counts ask for.
        """
        try:
            with Path(path).open("rb") as handle:
                head = handle.read(_HEADER.size)
                size_bytes = handle.seek(0, os.SEEK_END)
        except OSError as error:
            raise InputError(f"cannot read the shard index {path}: {error.strerror}") from error
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            raise InputError(f"{path} is not a Megatron index (MMIDIDX)")
        _, version, code, sequences, documents = _HEADER.unpack(head)
        if version != _VERSION:
            raise InputError(f"{path} is MMIDIDX version {version}; only version 1 is known")
        if code not in _DTYPES:
            raise InputError(f"{path} has token type code {code}; known are 8 (uint16), 4 (int32)")
        expected_bytes = _HEADER.size + 12 * sequences + 8 * documents
        if size_bytes != expected_bytes:
            raise InputError(
                f"{path} has {size_bytes} bytes, its counts of {sequences} sequences and "
                f"{documents} document indices ask for {expected_bytes}"
            )
        data = np.memmap(path, dtype=np.uint8, mode="r")
        lengths_end = _HEADER.size + 4 * sequences
        offsets_end = lengths_end + 8 * sequences
        return cls(
            _DTYPES[code],
            np.asarray(data[_HEADER.size : lengths_end]).view("<i4"),
            np.asarray(data[lengths_end:offsets_end]).view("<i8"),
            np.asarray(data[offsets_end:]).view("<i8"),
        )


def _encoded(tokens: npt.NDArray[np.integer], dtype: TokenDtype) -> bytes:
    if tokens.ndim != 1 or not len(tokens):
        raise ValueError(f"a document is a flat array of one token or more, not {tokens.shape}")
    if tokens.dtype.kind not in "ui":
        raise ValueError(f"tokens are integers, not {tokens.dtype}")
    if len(tokens) > MAX_SEQUENCE_TOKENS:
        raise ValueError(f"a document of {len(tokens)} tokens is longer than int32 can say")
    if tokens.dtype != np.uint16:
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high > LARGEST_ID[dtype]:
            raise ValueError(f"token ids from {low} to {high} do not fit a {dtype} shard")
    return tokens.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes()
