"""From a framed record to the event handed on: a page, or a record skipped by its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from schemas.page import Page, Skipped
from stages.warc import digests
from stages.warc.framing import Record
from stages.warc.http import Response, parse_response
from stages.warc.payload import decode_body

_NOT_PAGES = frozenset({"dns", "whois", "filedesc", "urn", "metadata", "warcinfo"})
"""URI schemes of response and resource records that hold no page: Heritrix's DNS answers, the
logs that wget and wpull keep as resources, an ARC file's own description, pywb's screenshots."""

_SHORT_BODY = 0.99
"""Below this share of the announced Content-Length a body counts as cut: servers are often off
by a line end (warcio's example-wrong-chunks by one byte), cuts are larger."""


class Place(NamedTuple):
    """Where a record lies in its file, in compressed bytes."""

    file: str
    offset: int
    length: int
    guarded: bool
    """A gzip checksum over this record alone has been verified."""


def to_event(record: Record, place: Place) -> Page | Skipped:
    """The event of a record. Types without a handler are skipped under their own name."""
    record_type = (record.fields.get("WARC-Type") or "").strip().lower()
    handler = HANDLERS.get(record_type)
    if handler is None:
        return Skipped(record_type, place.offset)
    scheme = _target_uri(record).partition(":")[0].lower()
    if scheme in _NOT_PAGES:
        return Skipped(scheme, place.offset)
    return handler(record, place, record_type)


def _target_uri(record: Record) -> str:
    """The URI without the angle brackets that wget wrote (a slip in the grammar of WARC 1.0)."""
    return (record.fields.get("WARC-Target-URI") or "").strip().removeprefix("<").removesuffix(">")


def _page(record: Record, place: Place, record_type: str, source: str, body: bytes) -> Page:
    fields = record.fields
    return Page(
        url=_target_uri(record),
        date=(fields.get("WARC-Date") or "").strip(),
        warc_file=place.file,
        warc_offset=place.offset,
        warc_length=place.length,
        record_id=(fields.get("WARC-Record-ID") or "").strip(),
        record_type=record_type,
        source=source,
        http_status=0,
        content_type=(fields.get("Content-Type") or "").strip(),
        mime=(fields.get("WARC-Identified-Payload-Type") or "").strip(),
        body=body,
        truncated=(fields.get("WARC-Truncated") or "").strip(),
        damage="segmented" if fields.get("WARC-Segment-Number") else "",
    )


def _digest_damage(record: Record, place: Place, response: Response | None, body: bytes) -> str:
    """A digest that contradicts bytes which no checksum guards.

    The block digest decides where there is one. Payload digests are over the stored payload in
    Common Crawl, over the decoded one elsewhere: either will do. Inside a verified gzip member a
    mismatch can only be the crawler's arithmetic, so there nothing is compared.
    """
    if place.guarded:
        return ""
    verdict = digests.block_digest_matches(record.fields, record.block)
    if verdict is not None:
        return "" if verdict else "block_digest_mismatch"
    stored = response.payload if response is not None else record.block
    verdict = digests.matches(record.fields.get("WARC-Payload-Digest"), stored, body)
    return "payload_digest_mismatch" if verdict is False else ""


def _response(record: Record, place: Place, record_type: str) -> Page:
    source = "arc" if record.source == "arc" else "warc"
    response = parse_response(record.block)
    if response is None:
        page = _page(record, place, record_type, source, record.block)
        http_expected = page.content_type.lower().startswith("application/http")
        damage = "no_http_header" if http_expected and record.block else ""
        return page._replace(
            content_type="" if http_expected else page.content_type,
            damage=page.damage or damage or _digest_damage(record, place, None, record.block),
        )
    content, damage = decode_body(
        response.payload, response.transfer_encoding, response.content_encoding
    )
    page = _page(record, place, record_type, source, content)
    if not damage and len(response.payload) < _SHORT_BODY * response.content_length:
        damage = "short_body" if response.payload else ""
    return page._replace(
        http_status=response.status,
        content_type=response.content_type.strip(),
        damage=page.damage or damage or _digest_damage(record, place, response, content),
    )


def _resource(record: Record, place: Place, record_type: str) -> Page:
    page = _page(record, place, record_type, "warc", record.block)
    return page._replace(damage=page.damage or _digest_damage(record, place, None, record.block))


def _revisit(record: Record, place: Place, record_type: str) -> Page:
    """The payload was stored elsewhere; a block, if any, holds HTTP headers only."""
    page = _page(record, place, record_type, "warc", b"")
    response = parse_response(record.block)
    if response is None:
        return page
    return page._replace(http_status=response.status, content_type=response.content_type.strip())


def _conversion(record: Record, place: Place, record_type: str) -> Page | Skipped:
    """Extracted text, always UTF-8 (Common Crawl's WET). Other conversions hold no page."""
    page = _page(record, place, record_type, "wet", b"")
    if page.content_type and not page.content_type.lower().startswith("text/"):
        return Skipped(record_type, place.offset)
    damage = _digest_damage(record, place, None, record.block)
    try:
        text = record.block.decode("utf-8")
    except UnicodeDecodeError:
        text, damage = record.block.decode("utf-8", "replace"), damage or "invalid_utf8"
    return page._replace(text=text.replace("\0", ""), damage=page.damage or damage)


HANDLERS: dict[str, Callable[[Record, Place, str], Page | Skipped]] = {
    "response": _response,
    "arc": _response,
    "resource": _resource,
    "revisit": _revisit,
    "conversion": _conversion,
}
"""WARC-Type -> how a page is made of it; every other type is skipped."""
