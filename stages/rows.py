"""Pages out of JSON lines and table rows: text (or HTML) that somebody already collected."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, BinaryIO

from schemas.page import Damage, Page

MAX_LINE_BYTES = 64 * 1024 * 1024
TEXT_FIELDS = ("text", "content", "raw_content")
HTML_FIELDS = ("html", "raw_html")
URL_FIELDS = ("url", "source_url", "uri")
DATE_FIELDS = ("date", "timestamp", "fetch_time", "created")
ID_FIELDS = ("id",)
NESTED_FIELD = "metadata"
FIELDS = (*TEXT_FIELDS, *HTML_FIELDS, *URL_FIELDS, *DATE_FIELDS, *ID_FIELDS)
"""Everything that is read of a row, at its top level or under `metadata`."""

_BAD_COMPRESSION = (EOFError, gzip.BadGzipFile, zlib.error)
"""What Python's gzip raises for what a file holds; other OSErrors are the store's."""


def page_of_row(row: Mapping[str, Any], file: str, offset: int, source: str) -> Page | Damage:
    """A row as a Page: `text` (or content, raw_content) that is not blank, else `html` (or
    raw_html); `url`, `date` and `id` if there.

    The same fields nested under `metadata`, a mapping or a list of pairs, stand in for those that
    the row lacks or that are null. Text as bytes must be UTF-8; HTML as bytes is decoded as a
    page's body is. Dates and numbers become strings in `url`, `date` and `id`.
    """
    fields = _merged(row)
    name = _content_field(fields)
    if name is None:
        return no_text(offset, row)
    content = fields[name]
    body, text, content_type = b"", None, "text/plain"
    if name in HTML_FIELDS and isinstance(content, bytes | bytearray):
        body, content_type = bytes(content), "text/html"
    else:
        read = _read_text(content, name, offset)
        if isinstance(read, Damage):
            return read
        if name in HTML_FIELDS:
            body, content_type = read.encode(), "text/html; charset=utf-8"
        else:
            text = read
    return Page(
        url=_first_name(fields, URL_FIELDS),
        date=_first_name(fields, DATE_FIELDS),
        warc_file=file,
        warc_offset=offset,
        warc_length=0,
        record_id=_first_name(fields, ID_FIELDS),
        record_type="row",
        source=source,
        http_status=0,
        content_type=content_type,
        mime="",
        body=body,
        text=text,
    )


def no_text(offset: int, names: Mapping[str, Any] | list[str]) -> Damage:
    """What a row without text is, naming the fields that it has."""
    known = ", ".join(TEXT_FIELDS + HTML_FIELDS)
    have = clean(", ".join(sorted(map(str, names))[:12]))[:500]
    return Damage(offset, 0, "no_text", f"no field of {known}; the row has: {have}")


def read_json_lines(
    handle: BinaryIO, start: int, end: int, file: str, source: str = "jsonl"
) -> Iterator[Page | Damage]:
    """Pages of the lines that begin in [start, end); a bad line is a Damage, not an end.

    The offset of a page is that of its line.
    """
    handle.seek(max(start - 1, 0))
    if start > 0:
        handle.readline()
    for offset, line, length in _lines(handle, handle.tell(), end):
        event = _event_of_line(line, length, file, offset, source)
        if event is not None:
            yield event


def read_packed_json_lines(
    lines: BinaryIO, start: int, end: int, file: str, source: str = "jsonl"
) -> Iterator[Page | Damage]:
    """As read_json_lines, for offsets in the text of a gzip file that `lines` unpacks.

    Always reads from the first byte on, so that every part of a file meets damage at the same
    line. A Damage says where the line begins that could not be had, in the one part to which that
    line belongs, and reading ends.
    """
    offset = 0
    try:
        for offset, line, length in _lines(lines, 0, end):
            if offset >= start:
                event = _event_of_line(line, length, file, offset, source)
                if event is not None:
                    yield event
            offset += length
    except _BAD_COMPRESSION as error:
        if start <= offset < end:
            yield Damage(offset, 0, "corrupt_gzip", one_line(error))


def _lines(handle: BinaryIO, offset: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Offset, content and bytes of the lines that begin before `end`; of a line that is too long
    its first part."""
    while offset < end:
        line = handle.readline(MAX_LINE_BYTES)
        if not line:
            return
        length, last = len(line), line
        while len(last) == MAX_LINE_BYTES and not last.endswith(b"\n"):
            last = handle.readline(MAX_LINE_BYTES)
            length += len(last)
        yield offset, line, length
        offset += length


def _event_of_line(
    line: bytes, length: int, file: str, offset: int, source: str
) -> Page | Damage | None:
    """None for a blank line."""
    if length > len(line) or (len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")):
        return Damage(offset, length, "line_too_long", f"over {MAX_LINE_BYTES} bytes")
    return _page_of_line(line, file, offset, source) if line.strip() else None


def _page_of_line(line: bytes, file: str, offset: int, source: str) -> Page | Damage:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Damage(offset, len(line), "bad_json", one_line(error))
    if not isinstance(row, dict):
        return Damage(offset, len(line), "bad_json", "the line is no JSON object")
    return page_of_row(row, file, offset, source)


def clean(text: str) -> str:
    """Without NULs and lone surrogates, which neither Arrow nor UTF-8 takes."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def one_line(error: BaseException) -> str:
    """The message of an error as a Damage's detail."""
    return clean(" ".join(str(error).split()))[:200] or type(error).__name__


def _merged(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row's fields over those nested in it, without nulls."""
    nested = row.get(NESTED_FIELD)
    pairs: dict[str, Any] = {}
    if isinstance(nested, Mapping):
        pairs = dict(nested)
    elif isinstance(nested, list):
        # A map column of Parquet arrives like this.
        pairs = {p[0]: p[1] for p in nested if _is_pair(p)}
    merged = {name: value for name, value in pairs.items() if not _is_null(value)}
    merged.update((name, value) for name, value in row.items() if not _is_null(value))
    return merged


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str)


def _is_null(value: object) -> bool:
    """None, or the NaN that data frames write for it."""
    return value is None or (isinstance(value, float) and value != value)


def _content_field(fields: Mapping[str, Any]) -> str | None:
    """The first field with something in it, else the first that is there at all."""
    have = [name for name in TEXT_FIELDS + HTML_FIELDS if name in fields]
    return next((name for name in have if not _is_blank(fields[name])), have[0] if have else None)


def _is_blank(value: object) -> bool:
    return isinstance(value, str | bytes | bytearray) and not value.strip()


def _read_text(value: object, name: str, offset: int) -> str | Damage:
    if isinstance(value, bytes | bytearray):
        try:
            value = bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            return Damage(offset, 0, "bad_text", f"field {name} is not UTF-8: {one_line(error)}")
    if isinstance(value, str):
        return clean(value)
    kind = type(value).__name__
    return Damage(offset, 0, "text_not_a_string", f"field {name} holds a {kind}, not a string")


def _first_name(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of the fields that can be written as a string; lists and mappings cannot."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            return clean(value)
        if isinstance(value, bytes | bytearray):
            return clean(bytes(value).decode("utf-8", "replace"))
        if isinstance(value, date | datetime):
            return value.isoformat()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return ""
