"""Which records are pages at all: the checks that need no decoding."""

from __future__ import annotations

import re

from schemas.page import Page
from schemas.recipe import PageGate
from schemas.verdict import Rejection

STAGE = "page"
SNIFF_BYTES = 1024
HTML = "text/html"

_MARKUP = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|meta|script|div|p|a|table)\b", re.I
)
_BINARY_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG", "image/png"),
    (b"GIF8", "image/gif"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
)
# What servers send when they do not know; the body says more than the header.
_UNKNOWN_TYPES = frozenset(
    {"", "unknown", "unknown/unknown", "application/octet-stream", "content/unknown", "*/*"}
)


def media_type(content_type: str) -> str:
    """The bare lower-case media type of a Content-Type header, or an empty string."""
    return content_type.split(";", 1)[0].split(",", 1)[0].strip().lower()


def effective_mime(page: Page) -> str:
    """The media type to act on.

    The server's Content-Type counts, unless the body opens with a binary format's magic number;
    without a usable one the crawler's WARC-Identified-Payload-Type, then markup in the first
    1,024 bytes. Libmagic-style guessing first would lose HTML as XML or JavaScript.
    """
    for magic, mime in _BINARY_MAGIC:
        if page.body.startswith(magic):
            return mime
    declared = media_type(page.content_type)
    if declared not in _UNKNOWN_TYPES:
        return declared
    identified = media_type(page.mime)
    if identified not in _UNKNOWN_TYPES:
        return identified
    return HTML if _MARKUP.search(page.body[:SNIFF_BYTES]) else declared or "unknown"


def check_page(page: Page, mime: str, gate: PageGate) -> Rejection | None:
    """Turn down what is no page: revisits, other statuses and types, empty and oversized bodies.

    `mime` is effective_mime(page). Records that carry text already pass but for emptiness.
    """
    if page.text is not None:
        return None if page.text.strip() else Rejection(STAGE, "page.empty", 0.0, 1.0)
    if page.record_type == "revisit":
        return Rejection(STAGE, "page.revisit", None, None)
    if page.http_status and page.http_status not in gate.statuses:
        return Rejection(STAGE, "page.status", float(page.http_status), None)
    if not page.body.strip():
        return Rejection(STAGE, "page.empty", 0.0, 1.0)
    if mime not in gate.mimes:
        return Rejection(STAGE, "page.mime", None, None, detail=mime)
    if len(page.body) > gate.max_body_bytes:
        size = float(len(page.body))
        return Rejection(STAGE, "page.too_large", size, float(gate.max_body_bytes))
    return None
