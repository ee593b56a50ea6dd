"""Cutting records out of uncompressed bytes, and finding the next one after damage."""

from __future__ import annotations

from typing import NamedTuple

from stages.warc.digests import block_digest_matches
from stages.warc.headers import (
    MAX_LINE_BYTES,
    Fields,
    Header,
    Malformed,
    candidates,
    read_header,
)
from stages.warc.window import FileWindow, Window

MAX_RECORD_BYTES = 64 << 20
"""Largest record held in memory, uncompressed. Common Crawl cuts payloads at 1 MB (5 MB since
CC-MAIN-2025-13), so only foreign archives (video, disk images) come near."""

_SCAN_BYTES = 64 << 10
_TERMINATORS = {"warc": (b"\r\n\r\n", b"\n\n"), "arc": (b"\n", b"\r\n")}


class Record(NamedTuple):
    """One record, whole: `end` is where the next one begins."""

    source: str
    fields: Fields
    start: int
    block_start: int
    block: bytes
    end: int


class Fault(NamedTuple):
    """Bytes at `start` that are no whole record; reading goes on at `end`."""

    error: str
    detail: str
    start: int
    end: int


class Found(NamedTuple):
    """Result of a search: the position of the next record, or of the end when not `found`."""

    position: int
    found: bool
    only_zeros: bool
    """Nothing but zero bytes lay between."""


def frame(window: Window, position: int, look_inside: bool = True) -> Record | Fault:
    """The record that begins at `position`, or what is wrong there (then `end` == `start`).

    Content-Length is believed only when what follows the block confirms it: the end, the next
    record, or the terminator that the standard puts there. In a plain file, where no checksum
    helps, the block must not swallow another record either (`look_inside`).
    """
    header = read_header(window, position)
    if header is None:
        preview = window.slice(position, position + 40)
        return Fault("garbage", f"no record begins here: {preview!r}", position, position)
    if isinstance(header, Malformed):
        return Fault("bad_header", header.detail, position, position)
    about = header.fields.get("WARC-Target-URI") or header.fields.get("WARC-Type")
    if header.length < 0:
        return Fault("bad_length", f"Content-Length is no number: {about}", position, position)
    if header.length > MAX_RECORD_BYTES:
        detail = f"{header.length} bytes announced, {MAX_RECORD_BYTES} allowed: {about}"
        return Fault("record_too_large", detail, position, position)
    block_end = header.block_start + header.length
    block = window.slice(header.block_start, block_end)
    if len(block) < header.length:
        detail = f"{len(block)} of {header.length} bytes: {about}"
        return Fault("truncated", detail, position, position)
    record = Record(header.source, header.fields, position, header.block_start, block, 0)
    end = window.skip_newlines(block_end)
    if not _ends_at_boundary(window, record, end):
        detail = f"no record boundary after {header.length} bytes: {about}"
        return Fault("bad_length", detail, position, position)
    if look_inside and isinstance(window, FileWindow) and _swallows(window, record):
        detail = f"another record begins within the {header.length} bytes of {about}"
        return Fault("bad_length", detail, position, position)
    return record._replace(end=end)


def _ends_at_boundary(window: Window, record: Record, end: int) -> bool:
    if window.at_end(end):
        return True
    following = read_header(window, end)
    if isinstance(following, Header) and following.complete:
        return True
    gap = window.slice(record.block_start + len(record.block), end)
    terminated = gap.startswith(_TERMINATORS[record.source])
    return terminated and block_digest_matches(record.fields, record.block) is not False


def _swallows(window: Window, record: Record) -> bool:
    """A length too long by chance ends at a boundary, too. Only a digest can tell such a record
    from one whose payload is itself an archive."""
    block_end = record.block_start + len(record.block)
    inner = candidates(window, record.block_start, block_end, (record.source,))
    if not any(is_record(window, candidate, look_inside=False) for candidate in inner):
        return False
    return block_digest_matches(record.fields, record.block) is not True


def step(window: Window, position: int) -> Record | Fault:
    """The record at `position`, or a fault whose `end` is the next plausible record."""
    framed = frame(window, position)
    if isinstance(framed, Record):
        return framed
    if framed.error == "record_too_large":
        return _step_over(window, framed)
    begins_with_zero = window.slice(position, position + 1) == b"\0"
    found = find_record(window, position + 1)
    error = framed.error
    if error == "truncated" and found.found:
        error = "bad_length"
    if error == "garbage" and begins_with_zero and found.only_zeros:
        error = "zero_padding"
    return framed._replace(error=error, end=found.position)


def _step_over(window: Window, fault: Fault) -> Fault:
    """Past a record too large to hold, by its announced length when a record follows it there."""
    header = read_header(window, fault.start)
    if header is None or isinstance(header, Malformed):
        return fault
    block_end = header.block_start + header.length
    reached = window.skip_to(block_end)
    if reached:
        end = window.skip_newlines(block_end)
        if window.at_end(end) or read_header(window, end) is not None:
            return fault._replace(end=end)
    if isinstance(window, FileWindow):
        window.go_to(fault.start + 1)
        return fault._replace(end=find_record(window, fault.start + 1).position)
    return fault._replace(end=find_record(window, min(block_end, window.limit)).position)


def is_record(window: Window, position: int, look_inside: bool = True) -> bool:
    """A record begins at `position`, judged by that place alone and strictly: all mandatory
    fields, and a length that leads to a record boundary. Web pages do show WARC headers."""
    header = read_header(window, position)
    if header is None or isinstance(header, Malformed) or not header.complete:
        return False
    framed = frame(window, position, look_inside)
    return isinstance(framed, Record) or framed.error == "record_too_large"


def find_record(window: Window, position: int, before: int | None = None) -> Found:
    """The first record from `position` on, and before the position `before` if given."""
    only_zeros = True
    while not window.at_end(position) and (before is None or position < before):
        window.ensure(position + _SCAN_BYTES)
        limit = window.limit
        for candidate in candidates(window, position, limit):
            if before is not None and candidate >= before:
                break
            if is_record(window, candidate):
                return Found(
                    candidate, True, only_zeros and not any(window.slice(position, candidate))
                )
        # The last line may go on in the next block: look at it again then.
        resume = max(position + 1, limit - MAX_LINE_BYTES)
        if window.at_end(limit):
            resume = limit
        only_zeros = only_zeros and not any(window.slice(position, resume))
        position = resume
        window.release(position - MAX_LINE_BYTES)
    return Found(position, False, only_zeros)
