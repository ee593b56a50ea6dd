"""Writing planned pages as Common Crawl does: request, response and metadata, a member each."""

from __future__ import annotations

import io
import uuid
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipelines.demo.plan import Planned

FIRST_DATE = datetime(2026, 3, 2, 6, 0, 0, tzinfo=UTC)
SECONDS_APART = 3
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://corpusmill.example/demo")
_SHORT_BLOCK_BYTES = 400
"""How many bytes of its block a record with a wrong length lacks."""


def write(pages: Sequence[Planned], name: str) -> tuple[bytes, list[int]]:
    """The whole file, and the offset of each page's record in it, in bytes.

    `name` goes into the warcinfo record. The same pages give the same bytes with the same zlib.
    """
    out = bytearray(_warcinfo(name))
    offsets = []
    for number, planned in enumerate(pages):
        date = FIRST_DATE + timedelta(seconds=SECONDS_APART * number)
        records = _Records(planned, date.strftime("%Y-%m-%dT%H:%M:%SZ"), name)
        out += records.request()
        offsets.append(len(out))
        out += _wounded(records.payload(), planned)
        out += records.metadata()
    return bytes(out), offsets


def _record_id(*parts: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(_NAMESPACE, ' '.join(parts))}>"


def _warcinfo(name: str) -> bytes:
    fields = (
        "software: corpusmill pipelines.demo.build\r\n"
        "description: pages written for this project; no crawl took place\r\n"
        "format: WARC File Format 1.0\r\n"
    )
    headers = {
        "WARC-Record-ID": _record_id("warcinfo", name),
        "WARC-Date": FIRST_DATE.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "WARC-Filename": name,
    }
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=True, warc_version="1.0")
    payload = io.BytesIO(fields.encode())
    record = writer.create_warc_record(
        "", "warcinfo", payload, len(fields), "application/warc-fields", headers
    )
    # An empty target URI is no header at all.
    record.rec_headers.remove_header("WARC-Target-URI")
    writer.write_record(record)
    return buffer.getvalue()


class _Records:
    """The three records of one page."""

    def __init__(self, planned: Planned, date: str, warc_name: str) -> None:
        self._planned = planned
        self._key = (planned.url, planned.record_type, date)
        self._common = {
            "WARC-Date": date,
            "WARC-Warcinfo-ID": _record_id("warcinfo", warc_name),
            "WARC-IP-Address": "192.0.2.10",
        }

    def request(self) -> bytes:
        host, _, path = self._planned.url.partition("://")[2].partition("/")
        lines = [
            ("User-Agent", "demo-sample"),
            ("Accept-Encoding", "gzip"),
            ("Host", host),
            ("Connection", "Keep-Alive"),
        ]
        http = StatusAndHeaders(f"/{path} HTTP/1.1", lines, protocol="GET", is_http_request=True)
        extra = {
            "WARC-Record-ID": _record_id("request", *self._key),
            "WARC-Concurrent-To": _record_id("payload", *self._key),
        }
        return self._write("request", b"", http, extra)

    def payload(self) -> bytes:
        planned = self._planned
        lines = [("Date", "Mon, 02 Mar 2026 06:00:00 GMT"), *planned.headers]
        if not any(name == "Transfer-Encoding" for name, _ in planned.headers):
            lines.append(("Content-Length", str(len(planned.body))))
        http = StatusAndHeaders(planned.status, lines, protocol="HTTP/1.1")
        extra = {"WARC-Record-ID": _record_id("payload", *self._key)}
        if planned.mime:
            extra["WARC-Identified-Payload-Type"] = planned.mime
        if planned.record_type == "revisit":
            extra["WARC-Profile"] = (
                "http://netpreserve.org/warc/1.0/revisit/identical-payload-digest"
            )
        return self._write(planned.record_type, planned.body, http, extra)

    def metadata(self) -> bytes:
        extra = {
            "WARC-Record-ID": _record_id("metadata", *self._key),
            "WARC-Concurrent-To": _record_id("payload", *self._key),
        }
        return self._write("metadata", b"fetchTimeMs: 41\r\n", None, extra)

    def _write(
        self, kind: str, body: bytes, http: StatusAndHeaders | None, extra: dict[str, str]
    ) -> bytes:
        buffer = io.BytesIO()
        writer = WARCWriter(buffer, gzip=True, warc_version="1.0")
        record = writer.create_warc_record(
            self._planned.url,
            kind,
            payload=io.BytesIO(body),
            length=len(body),
            warc_content_type="application/warc-fields" if kind == "metadata" else "",
            warc_headers_dict={**extra, **self._common},
            http_headers=http,
        )
        writer.write_record(record)
        return buffer.getvalue()


def _wounded(member: bytes, planned: Planned) -> bytes:
    if planned.wound == "short_block":
        return _with_short_block(member)
    if planned.wound == "cut_member":
        return member[: len(member) // 2]
    if planned.wound == "flipped_bits":
        middle = len(member) // 2
        flipped = bytes(byte ^ 0xFF for byte in member[middle : middle + 24])
        return member[:middle] + flipped + member[middle + 24 :]
    return member


def _with_short_block(member: bytes) -> bytes:
    """The record without the end of its block, its Content-Length as it was, a member again."""
    whole = zlib.decompress(member, wbits=31)
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS + 16)
    return compressor.compress(whole[:-_SHORT_BLOCK_BYTES]) + compressor.flush()
