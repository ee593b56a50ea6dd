"""The HTTP response inside a record: status, fields, and where the payload begins."""

from __future__ import annotations

import io
import re
from typing import NamedTuple

from fastwarc.warc import HeaderMap

_STATUS_LINE = re.compile(rb"HTTP/[\d.]+[ \t]+(\d{3})")
_HEADER_END = re.compile(rb"\r*\n\r*\n")
_LINE_END = re.compile(rb"\r*\n")
_DIGITS = re.compile(r"[0-9]{1,18}")
_MAX_HEADER_BYTES = 256 << 10


class Response(NamedTuple):
    """Status, fields and payload as stored: encodings are still on it."""

    status: int
    content_type: str
    transfer_encoding: str
    content_encoding: str
    content_length: int
    """As announced; -1 where there is none."""
    payload: bytes


def parse_response(block: bytes) -> Response | None:
    """The response in a block, or None when the block does not begin with a status line.

    Accepts a status line without reason, LF line ends and a header without end (an empty
    payload). Interim 1xx responses are passed over.
    """
    status_line = _STATUS_LINE.match(block)
    if status_line is None:
        return None
    end = _HEADER_END.search(block, 0, _MAX_HEADER_BYTES)
    raw, payload = (block[: end.end()], block[end.end() :]) if end else (block, b"")
    status = int(status_line[1])
    if 100 <= status < 200 and payload.startswith(b"HTTP/"):
        return parse_response(payload)
    if raw.count(b"\r\n") != raw.count(b"\n") or b"\r\r" in raw:
        raw = _LINE_END.sub(b"\r\n", raw)
    fields = HeaderMap()
    try:
        fields.parse(io.BytesIO(raw), True)
    except (OSError, ValueError):
        # The status is known and the payload is there: as if no field had been sent.
        fields = HeaderMap()
    announced = fields.get("Content-Length") or ""
    return Response(
        status,
        fields.get("Content-Type") or "",
        fields.get("Transfer-Encoding") or "",
        fields.get("Content-Encoding") or "",
        int(announced) if _DIGITS.fullmatch(announced) else -1,
        payload,
    )
