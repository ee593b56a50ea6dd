"""What the reader hands on: one page, one skipped record, or one damaged span of a file."""

from __future__ import annotations

from typing import NamedTuple


class Page(NamedTuple):
    """One record that may hold a document.

    Either `body` holds the HTTP payload (after transfer and content decoding) or `text` holds
    text somebody extracted before (WET conversion records, JSONL, Parquet).
    """

    url: str
    """Target URI without angle brackets; may be empty in JSONL and Parquet."""
    date: str
    """WARC-Date as written, or an empty string."""
    warc_file: str
    """Base name of the file the record was read from."""
    warc_offset: int
    """Byte offset of the record in the (compressed) file; the row number in JSONL and Parquet."""
    warc_length: int
    """Bytes that the record takes in the (compressed) file; 0 where a format has no such thing."""
    record_id: str
    """WARC-Record-ID as written (with angle brackets), or an empty string."""
    record_type: str
    """response, resource, conversion, revisit, arc, or row."""
    source: str
    """warc, arc, wet, jsonl or parquet."""
    http_status: int
    """HTTP status code; 0 where there were no HTTP headers."""
    content_type: str
    """HTTP Content-Type header, whole (or the record's Content-Type for resource records)."""
    mime: str
    """WARC-Identified-Payload-Type if the crawler wrote one, else an empty string."""
    body: bytes
    text: str | None = None
    truncated: str = ""
    """WARC-Truncated reason (length, time, disconnect, ...) or an empty string."""
    damage: str = ""
    """Not empty: the payload is readable but not whole (reader's reason); refine() decides."""


class Skipped(NamedTuple):
    """A record that holds no page by its type: warcinfo, request, metadata, dns, ..."""

    record_type: str
    offset: int


class Damage(NamedTuple):
    """A span of a file that could not be read; becomes one row of errors/."""

    offset: int
    length: int
    error: str
    """Short machine-readable reason: truncated, corrupt_member, not_a_warc, bad_header, ..."""
    detail: str
