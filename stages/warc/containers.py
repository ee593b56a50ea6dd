"""The two ways records are stored: in gzip members, or plain one after another."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, TypeAlias

from schemas.page import Damage, Page, Skipped
from stages.warc.framing import Fault, Found, Record, find_record, frame, is_record, step
from stages.warc.headers import MAX_LINE_BYTES
from stages.warc.members import Member, begins_member, find_member, is_record_member
from stages.warc.records import Place, to_event
from stages.warc.window import FileWindow, Window

Event: TypeAlias = Page | Skipped | Damage
Reading: TypeAlias = Generator[Event, None, int]
"""Events of one place, returning the position where reading goes on."""


class Container(NamedTuple):
    """How to read one kind of file."""

    is_start: Callable[[FileWindow, int], bool]
    """A record can be read from this position on, judged by that place alone."""
    find: Callable[[FileWindow, int, int | None], Found]
    """The first position >= the second argument (and below the third) that is_start accepts."""
    read: Callable[[FileWindow, int, str], Reading]
    """Events of the member, record or damage at a position of the named file."""


def _read_plain(file: FileWindow, position: int, name: str) -> Reading:
    position = file.skip_newlines(position)
    if file.at_end(position):
        return position
    result = step(file, position)
    if isinstance(result, Record):
        place = Place(name, position, result.end - position, guarded=False)
        yield to_event(result, place)
    else:
        yield Damage(position, result.end - position, result.error, result.detail)
    return result.end


def _find_plain(file: FileWindow, position: int, before: int | None) -> Found:
    file.go_to(max(0, position - MAX_LINE_BYTES))
    file.ensure(position + 1)
    return find_record(file, position, before)


def _read_gzip(file: FileWindow, position: int, name: str) -> Reading:
    if not begins_member(file, position):
        found = find_member(file, position)
        error = "zero_padding" if found.only_zeros else "garbage"
        detail = "no gzip member begins here"
        yield Damage(position, found.position - position, error, detail)
        return found.position
    member = Member(file, position)
    content = Window(member.pull)
    at = content.skip_newlines(0)
    records = 0
    while not content.at_end(at):
        result = _step_across(content, at, member)
        last = content.at_end(result.end)
        if last and member.error:
            break
        length = member.consumed - position
        if isinstance(result, Record):
            guarded = records == 0 and last
            yield to_event(result, Place(name, position, length, guarded))
            records += 1
        else:
            detail = f"{result.detail} (byte {at} of the member's content)"
            yield Damage(position, length, result.error, detail)
        at = content.skip_newlines(result.end)
        content.release(at - MAX_LINE_BYTES)
    if not member.error:
        return member.consumed
    found = find_member(file, position + 1)
    error = "corrupt_member" if found.found else member.error
    detail = f"{member.detail} (after {records} intact records of this member)"
    yield Damage(position, found.position - position, error, detail)
    return found.position


def _step_across(content: Window, at: int, member: Member) -> Record | Fault:
    """A step that goes on in the next gzip member when the record does: block-wise compressors
    cut anywhere. Content that is no record at all is followed to its end in the same way."""
    framed = frame(content, at)
    while isinstance(framed, Fault) and framed.error != "record_too_large":
        if not content.finished or not member.extend():
            break
        content.reopen()
        framed = frame(content, at)
    return framed if isinstance(framed, Record) else step(content, at)


GZIP = Container(is_record_member, find_member, _read_gzip)
PLAIN = Container(is_record, _find_plain, _read_plain)
