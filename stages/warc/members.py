"""One gzip member of a file, inflated piece by piece with its checksum verified."""

from __future__ import annotations

import re
import zlib

from stages.warc.framing import Found
from stages.warc.sniff import GZIP_MAGIC, member_content, record_kind
from stages.warc.window import FileWindow

_INPUT_BYTES = 32 << 10
"""Compressed bytes handed to zlib at once, counted from the member's start, so that where a
piece ends does not depend on the segment. Larger pieces cost copies of what follows a member."""
_OUTPUT_BYTES = 1 << 20
_PROBE_BYTES = 4096
_KEPT_BYTES = 4 << 20
"""Compressed bytes kept behind, so that searching after damage rarely has to seek back."""
_HEADER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
"""Magic number, deflate, no reserved flag: RFC 1952, section 2.3."""


class Member:
    """The gzip member that begins at `start`; `pull` makes it the source of a Window."""

    def __init__(self, file: FileWindow, start: int) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(wbits=31)
        self._pending = b""
        self._fed = start
        self.start = start
        self.error = ""
        """Empty while nothing is wrong: corrupt_member or truncated."""
        self.detail = ""

    @property
    def consumed(self) -> int:
        """File position after the last byte that was needed so far."""
        return self._fed - len(self._pending) - len(self._inflater.unused_data)

    def pull(self) -> bytes:
        """The next uncompressed piece; nothing at the end or after an error."""
        while not self._inflater.eof and not self.error:
            fed = bool(self._pending) or self._feed()
            try:
                piece = self._inflater.decompress(self._pending, _OUTPUT_BYTES)
            except zlib.error as error:
                self.error, self.detail = "corrupt_member", str(error)
                break
            # At the end zlib keeps an old tail beside unused_data.
            self._pending = b"" if self._inflater.eof else self._inflater.unconsumed_tail
            if piece:
                return piece
            if not fed and not self._inflater.eof:
                size = self._fed - self.start
                self.error = "truncated"
                self.detail = f"the file ends {size} bytes into a gzip member"
        return b""

    def extend(self) -> bool:
        """Go on into the member that follows, unless none does or it begins with a record."""
        following = self.consumed
        if self.error or not self._inflater.eof or is_record_member(self._file, following):
            return False
        if not member_content(self._file.slice(following, following + _PROBE_BYTES), 1):
            return False
        self._inflater = zlib.decompressobj(wbits=31)
        self._pending = b""
        self._fed = following
        return True

    def _feed(self) -> bool:
        self._pending = self._file.slice(self._fed, self._fed + _INPUT_BYTES)
        self._fed += len(self._pending)
        self._file.release(self._fed - _KEPT_BYTES)
        return bool(self._pending)


def begins_member(file: FileWindow, position: int) -> bool:
    """The bytes of a gzip header stand at `position`."""
    return file.slice(position, position + 3) == GZIP_MAGIC


def is_record_member(file: FileWindow, position: int) -> bool:
    """A gzip member begins at `position` and its content begins with a record. Newlines before
    it may be the end of a record that began in the member before, so they do not count."""
    if not begins_member(file, position):
        return False
    content = member_content(file.slice(position, position + _PROBE_BYTES), _PROBE_BYTES)
    return bool(content and record_kind(content))


def find_member(file: FileWindow, position: int, before: int | None = None) -> Found:
    """The first member from `position` on (and before `before`) that holds a record."""
    file.go_to(position)
    only_zeros = True
    while not file.at_end(position) and (before is None or position < before):
        region = file.slice(position, file.limit)
        for match in _HEADER.finditer(region):
            candidate = position + match.start()
            if before is not None and candidate >= before:
                break
            if is_record_member(file, candidate):
                return Found(candidate, True, only_zeros and not any(region[: match.start()]))
        only_zeros = only_zeros and not any(region)
        resume = position + len(region)
        # The four header bytes may straddle two blocks.
        resume = resume if file.at_end(resume) else max(position + 1, resume - 3)
        position = resume
        file.release(position)
    return Found(position, False, only_zeros)
