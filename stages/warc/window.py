"""A forward view over bytes that arrive in blocks: positions are absolute, memory is bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

BLOCK_BYTES = 1 << 20
"""Bytes asked of a file at once: large enough that a remote handle is not asked often."""

_NEWLINES = b"\r\n"


class Window:
    """The bytes `[base, limit)` of a stream, extended by `pull` and cut off by `release`.

    `pull` returns the next piece, or nothing at the end of the stream. A position handed to any
    method must not lie before the last `release`.
    """

    def __init__(self, pull: Callable[[], bytes], base: int = 0) -> None:
        self._pull = pull
        self.base = base
        self.buffer = bytearray()
        self._ended = False

    @property
    def limit(self) -> int:
        """Position after the last buffered byte."""
        return self.base + len(self.buffer)

    def ensure(self, upto: int) -> bool:
        """Buffer everything before position `upto`; False when the stream ends earlier."""
        while self.limit < upto:
            piece = b"" if self._ended else self._pull()
            if not piece:
                self._ended = True
                return False
            self.buffer += piece
        return True

    @property
    def finished(self) -> bool:
        """Everything that the stream holds has been pulled."""
        return self._ended

    def reopen(self) -> None:
        """Ask the stream again after it had ended."""
        self._ended = False

    def slice(self, start: int, end: int) -> bytes:
        """A copy of the bytes `[start, end)`, shorter when the stream ends earlier."""
        self.ensure(end)
        return bytes(self.buffer[start - self.base : end - self.base])

    def at_end(self, position: int) -> bool:
        """No byte exists at `position`."""
        return not self.ensure(position + 1)

    def skip_newlines(self, position: int) -> int:
        """The first position from `position` on that holds neither CR nor LF, or the end."""
        while self.ensure(position + 1) and self.buffer[position - self.base] in _NEWLINES:
            position += 1
        return position

    def release(self, before: int) -> None:
        """Forget the bytes before a position."""
        cut = min(before - self.base, len(self.buffer))
        if cut > 0:
            del self.buffer[:cut]
            self.base += cut

    def skip_to(self, position: int) -> bool:
        """Move on to `position` without holding what lies between; False when it lies beyond
        the end."""
        while self.limit < position:
            self.release(self.limit)
            if not self.ensure(self.limit + 1):
                return False
        self.release(position)
        return True


class FileWindow(Window):
    """A window over a seekable file of `size` bytes, read in blocks; it can also go back."""

    def __init__(self, handle: BinaryIO, size: int, block_bytes: int = BLOCK_BYTES) -> None:
        super().__init__(self._read_block)
        self._handle = handle
        self._size = size
        self._block_bytes = block_bytes
        self._handle_at: int | None = None

    def _read_block(self) -> bytes:
        if self._handle_at != self.limit:
            self._handle.seek(self.limit)
        block = self._handle.read(self._block_bytes)
        self._handle_at = self.limit + len(block)
        return block

    def go_to(self, position: int) -> None:
        """Make `position` readable again, by a seek where it is not in or next to the buffer."""
        if not self.base <= position <= self.limit:
            self.buffer.clear()
            self.base = position
            self._ended = False

    def skip_to(self, position: int) -> bool:
        """As in Window, by one seek; False when the file ends before `position`."""
        if position > max(self._size, self.limit):
            return False
        self.go_to(max(position - 1, self.base))
        reached = position <= self.base or self.ensure(position)
        self.release(position)
        return reached
