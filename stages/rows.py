"""Pages out of JSON lines and table rows: text (or HTML) that somebody already collected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from schemas.page import Damage, Page

MAX_LINE_BYTES = 64 * 1024 * 1024
TEXT_FIELDS = ("text", "content", "raw_content")
HTML_FIELDS = ("html", "raw_html")
URL_FIELDS = ("url", "source_url", "uri")
DATE_FIELDS = ("date", "timestamp", "fetch_time", "created")


def page_of_row(row: Mapping[str, Any], file: str, offset: int, source: str) -> Page | Damage:
    """A row as a Page: `text` (or content, raw_content), else `html`; `url` and `date` if there.

    Other fields that datasets nest under `metadata` are looked up there too.
    """
    nested = row.get("metadata")
    fields = {**nested, **row} if isinstance(nested, dict) else row
    text = _first(fields, TEXT_FIELDS)
    html = _first(fields, HTML_FIELDS) if text is None else None
    if text is None and html is None:
        known = ", ".join(TEXT_FIELDS + HTML_FIELDS)
        have = ", ".join(sorted(map(str, row))[:12])
        return Damage(offset, 0, "no_text", f"no field of {known}; the row has: {have}")
    return Page(
        url=_first(fields, URL_FIELDS) or "",
        date=_first(fields, DATE_FIELDS) or "",
        warc_file=file,
        warc_offset=offset,
        warc_length=0,
        record_id=_first(fields, ("id",)) or "",
        record_type="row",
        source=source,
        http_status=0,
        content_type="text/html; charset=utf-8" if html is not None else "text/plain",
        mime="",
        body=b"" if html is None else html.encode("utf-8", "surrogatepass"),
        text=None if text is None else _clean(text),
    )


def read_json_lines(
    handle: BinaryIO, start: int, end: int, file: str, source: str = "jsonl"
) -> Iterator[Page | Damage]:
    """Pages of the lines that begin in [start, end); a bad line is a Damage, not an end.

    `handle` yields decompressed bytes; the offset of a page is that of its line.
    """
    handle.seek(max(start - 1, 0))
    if start > 0:
        handle.readline()
    offset = handle.tell()
    while offset < end:
        line = handle.readline(MAX_LINE_BYTES)
        if not line:
            return
        if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
            yield Damage(offset, len(line), "line_too_long", f"over {MAX_LINE_BYTES} bytes")
            while line and not line.endswith(b"\n"):
                line = handle.readline(MAX_LINE_BYTES)
        elif line.strip():
            yield _page_of_line(line, file, offset, source)
        offset = handle.tell()


def _page_of_line(line: bytes, file: str, offset: int, source: str) -> Page | Damage:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Damage(offset, len(line), "bad_json", " ".join(str(error).split())[:200])
    if not isinstance(row, dict):
        return Damage(offset, len(line), "bad_json", "the line is no JSON object")
    return page_of_row(row, file, offset, source)


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value if isinstance(value, str) else str(value)
    return None


def _clean(text: str) -> str:
    """Drop NULs and lone surrogates, which neither Arrow nor UTF-8 takes."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
