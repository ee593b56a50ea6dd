"""Reading one segment of a file: every record that begins in it, or what is wrong instead.

A cut may fall anywhere, so ownership rests on one property: whether a record can be read from a
position is decided by the bytes at that position alone. A reader begins at the first such
position from its start on; having passed its end it goes on to the next such position, and so
owns the damage between its last record and another segment's first. Together the segments of a
file give exactly the events of one reading from the first byte, in file order.

Limit: an archive stored inside a record without compression (a WARC within a plain WARC) begins
with records of its own, and a cut inside it would find them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from schemas.page import Damage, Page, Skipped
from stages.warc.containers import GZIP, PLAIN, Container
from stages.warc.headers import MAX_LINE_BYTES
from stages.warc.segments import Segment, base_name
from stages.warc.sniff import HEAD_BYTES, sniff
from stages.warc.window import FileWindow

_CONTAINERS = {"warc.gz": GZIP, "arc.gz": GZIP, "gzip": GZIP, "warc": PLAIN, "arc": PLAIN}
_FOREIGN = frozenset({"garbage", "zero_padding", "bad_header", "corrupt_member"})


def read_segment(handle: BinaryIO, segment: Segment) -> Iterator[Page | Skipped | Damage]:
    """Events of the records that begin in the segment, in file order.

    The handle is read forward in blocks of 1 MB after at most one seek (more only after damage).
    Memory holds one record. Never raises for what the bytes hold; OSError of the handle passes.
    """
    file = FileWindow(handle, segment.size)
    head = file.slice(0, HEAD_BYTES)
    kind = sniff(head)
    container = _CONTAINERS.get(kind)
    position = segment.start
    if segment.start > 0 or container is None:
        container, position = _locate(file, container, segment)
        if segment.start == 0 and (position > 0 or container is None):
            yield from _leading_damage(file, position, kind, head)
        if container is None:
            return
    yield from _read(file, container, position, segment, kind)


def _read(
    file: FileWindow, container: Container, position: int, segment: Segment, kind: str
) -> Iterator[Page | Skipped | Damage]:
    name = base_name(segment.path)
    file.go_to(max(0, position - MAX_LINE_BYTES))
    while not file.at_end(position):
        if position >= segment.end and container.is_start(file, position):
            return
        file.release(position - MAX_LINE_BYTES)
        reading = container.read(file, position, name)
        while True:
            try:
                event = next(reading)
            except StopIteration as done:
                position = done.value
                break
            yield _named(event, segment, kind)
        file.go_to(max(0, position - MAX_LINE_BYTES))


def _named(event: Page | Skipped | Damage, segment: Segment, kind: str) -> Page | Skipped | Damage:
    """Damage that takes the whole file, with no record in it, means another kind of file."""
    if (
        isinstance(event, Damage)
        and event.error in _FOREIGN
        and event.offset == 0
        and event.length >= segment.size
    ):
        return event._replace(error="not_a_warc", detail=f"{kind} content: {event.detail}")
    return event


def _locate(
    file: FileWindow, container: Container | None, segment: Segment
) -> tuple[Container | None, int]:
    """Where the first record of a segment begins, and how to read it; no container without one.

    The first segment searches to the end of the file, as it owns the damage before any record.
    """
    before = segment.end if segment.start > 0 else None
    choices = (GZIP, PLAIN) if container is None else (container,)
    best: tuple[Container | None, int] = (None, segment.size)
    for choice in choices:
        found = choice.find(file, segment.start, before)
        if found.found and (best[0] is None or found.position < best[1]):
            best = (choice, found.position)
    return best


def _leading_damage(file: FileWindow, end: int, kind: str, head: bytes) -> Iterator[Damage]:
    """What stands before the first record of a file that does not begin with one."""
    if kind == "empty":
        yield Damage(0, 0, "empty_file", "the file has no bytes")
    elif file.at_end(end):
        yield Damage(0, end, "not_a_warc", f"{kind} content: {head[:60]!r}")
    else:
        yield Damage(0, end, "garbage", f"{kind} content before the first record: {head[:60]!r}")
