"""Small archives written with warcio, and reading in any segmentation."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from schemas.page import Damage, Page, Skipped
from stages.warc import Segment, read_segment

Event = Page | Skipped | Damage
Read = Callable[..., list[Event]]
Write = Callable[..., bytes]


@pytest.fixture(scope="session")
def read() -> Read:
    """read(data, cuts=()) -> the events of all segments between the cuts, in order."""

    def run(data: bytes, cuts: Iterable[int] = (), path: str = "x/test.warc.gz") -> list[Event]:
        size = len(data)
        edges = [0, *sorted({cut for cut in cuts if 0 < cut < size}), size]
        events: list[Event] = []
        for start, end in zip(edges, edges[1:], strict=False):
            segment = Segment(path, start, end, size)
            events += read_segment(io.BytesIO(data), segment)
        return events

    return run


@pytest.fixture(scope="session")
def write() -> Write:
    """write(bodies, gzipped) -> an archive with a warcinfo, and a request and a response a body."""

    def run(bodies: Iterable[bytes], gzipped: bool = True) -> bytes:
        target = io.BytesIO()
        writer = WARCWriter(target, gzip=gzipped)
        info = writer.create_warcinfo_record("test.warc", {"software": "test"})
        _write(writer, info, "info", -1)
        for number, body in enumerate(bodies):
            url = f"https://example.org/{number}"
            request = writer.create_warc_record(
                url,
                "request",
                http_headers=StatusAndHeaders(f"GET /{number} HTTP/1.1", [], is_http_request=True),
            )
            _write(writer, request, "request", number)
            headers = StatusAndHeaders(
                "200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1"
            )
            response = writer.create_warc_record(
                url,
                "response",
                payload=io.BytesIO(body),
                http_headers=headers,
            )
            _write(writer, response, "response", number)
        return target.getvalue()

    def _write(writer: WARCWriter, record: object, kind: str, number: int) -> None:
        headers = record.rec_headers  # type: ignore[attr-defined]
        headers.replace_header("WARC-Record-ID", f"<urn:test:{kind}:{number}>")
        headers.replace_header("WARC-Date", f"2024-05-01T00:00:{max(number, 0):02d}Z")
        writer.write_record(record)

    return run
