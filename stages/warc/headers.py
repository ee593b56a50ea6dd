"""Record headers of the two archive formats: where one may begin and what it says."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from typing import NamedTuple, Protocol

from fastwarc.warc import HeaderMap

from stages.warc.window import Window

MAX_HEADER_BYTES = 64 << 10
"""Longest header block read; real ones stay under 4 KB, long URLs included."""
MAX_LINE_BYTES = 4096
"""Longest ARC header line looked for when searching, and so the look-back of a search."""

_WARC_LINE = re.compile(rb"WARC/\d+\.\d+[ \t]*\r*\n")
_WARC_END = re.compile(rb"\n\r*\n")
_LINE_END = re.compile(rb"\r*\n")
_WARC_REQUIRED = ("WARC-Type", "WARC-Record-ID", "WARC-Date", "Content-Length")
"""Mandatory in every WARC record: ISO 28500, section 5 (defined-fields)."""

_ARC_TAIL = re.compile(
    rb" (?P<ip>[0-9a-fA-F.:]{2,45}) (?P<date>[0-9]{8,20}) (?P<mime>[\x21-\x7e]+)"
    rb"(?: [\x21-\x7e]+){0,5}? (?P<length>[\x21-\x7e]+)[ \t]*\r?\n"
)
"""End of an ARC header line: version 1 has IP, date, type and length after the URL, version 2
has status, checksum, location, offset and file name before the length."""
_SCHEME = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.\-]{1,20}:")
_SEARCHED_SCHEME = re.compile(rb"(?:https?|ftp|dns|filedesc|whois):", re.IGNORECASE)
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e]")
_DIGITS = re.compile(r"[ \t]*([0-9]{1,18})[ \t]*")


class Fields(Protocol):
    """Header fields by their WARC names."""

    def get(self, key: str, /) -> str | None:
        """The value of a field, or None."""


class Header(NamedTuple):
    """A header block: `length` is -1 where Content-Length is missing or not a number."""

    source: str
    """warc or arc."""
    fields: Fields
    block_start: int
    length: int
    complete: bool
    """Has every field that the standard demands: enough to believe it out of context."""


class Malformed(NamedTuple):
    """A header that begins like one and goes wrong."""

    detail: str


def _length(value: str | None) -> int:
    digits = _DIGITS.fullmatch(value) if value is not None else None
    return int(digits[1]) if digits else -1


def _warc_header(window: Window, position: int) -> Header | Malformed | None:
    window.ensure(position + 32)
    at = position - window.base
    if not _WARC_LINE.match(window.buffer, at):
        return None
    end = _WARC_END.search(window.buffer, at, at + MAX_HEADER_BYTES)
    if end is None:
        window.ensure(position + MAX_HEADER_BYTES)
        end = _WARC_END.search(window.buffer, at, at + MAX_HEADER_BYTES)
        if end is None:
            return Malformed("the WARC header has no end")
    raw = bytes(window.buffer[at : end.end()])
    if _WARC_LINE.search(raw, 5):
        return Malformed("another WARC header begins within this one")
    if raw.count(b"\r\n") != raw.count(b"\n") or b"\r\r" in raw:
        raw = _LINE_END.sub(b"\r\n", raw)
    fields = HeaderMap()
    try:
        fields.parse(io.BytesIO(raw), True)
    except (OSError, ValueError) as error:
        return Malformed(f"the WARC header cannot be parsed: {error}")
    if not fields.get("WARC-Type"):
        return Malformed("the WARC header has no WARC-Type")
    return Header(
        "warc",
        fields,
        window.base + end.end(),
        _length(fields.get("Content-Length")),
        all(fields.get(name) for name in _WARC_REQUIRED),
    )


def _arc_header(window: Window, position: int) -> Header | Malformed | None:
    window.ensure(position + MAX_LINE_BYTES)
    at = position - window.base
    if not _SCHEME.match(window.buffer, at):
        return None
    line_end = window.buffer.find(b"\n", at, at + MAX_HEADER_BYTES)
    if line_end < 0:
        return None
    line = bytes(window.buffer[at : line_end + 1])
    tail = _ARC_TAIL.search(line)
    if tail is None or tail.end() != len(line):
        return None
    fields = {
        "WARC-Type": "arc",
        "WARC-Target-URI": line[: tail.start()].decode("utf-8", "replace"),
        "WARC-Date": _iso_date(tail["date"].decode()),
        "Content-Type": tail["mime"].decode(),
    }
    length = _length(tail["length"].decode())
    complete = _arc_start(window, at + tail.start()) == position
    return Header("arc", fields, window.base + line_end + 1, length, complete)


def _iso_date(digits: str) -> str:
    """14 digits as the ISO form that WARC-Date has; other lengths stay as written."""
    if len(digits) != 14:
        return digits
    d = digits
    return f"{d[:4]}-{d[4:6]}-{d[6:8]}T{d[8:10]}:{d[10:12]}:{d[12:]}Z"


def read_header(window: Window, position: int) -> Header | Malformed | None:
    """The header that begins at `position`, or None when none begins there."""
    return _warc_header(window, position) or _arc_header(window, position)


def candidates(
    window: Window, start: int, end: int, sources: Collection[str] = ("warc", "arc")
) -> list[int]:
    """Positions in the buffered bytes `[start, end)` where a header seems to begin."""
    begin, stop = start - window.base, end - window.base
    found: set[int] = set()
    if "warc" in sources:
        found.update(
            m.start() + window.base for m in _WARC_LINE.finditer(window.buffer, begin, stop)
        )
    if "arc" in sources:
        tails = _ARC_TAIL.finditer(window.buffer, begin, stop)
        found.update(_arc_start(window, tail.start()) for tail in tails)
    return sorted(position for position in found if position >= start)


def _arc_start(window: Window, tail: int) -> int:
    """Where the ARC header begins whose tail stands at this buffer index; -1 when nowhere.

    It need not follow a newline (binary bodies), so it begins at the first scheme in the run of
    printable characters before its tail, however far back.
    """
    begin = max(0, tail - MAX_LINE_BYTES)
    before = bytes(window.buffer[begin:tail])
    run = 0
    for mark in _UNPRINTABLE.finditer(before):
        run = mark.end()
    scheme = _SEARCHED_SCHEME.search(before, run)
    return -1 if scheme is None else window.base + begin + scheme.start()
