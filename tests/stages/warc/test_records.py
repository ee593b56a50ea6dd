"""What becomes of each type of record, in real archives of many crawlers and by hand."""

from __future__ import annotations

import collections
import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import brotli
import pytest

from schemas.page import Damage, Page, Skipped
from stages.warc.http import parse_response
from stages.warc.payload import MAX_BODY_BYTES, decode_body, unchunk

HTML_RESPONSES_IN_WARC_REAL = 258

gzipped = partial(gzip.compress, mtime=0)
"""The same bytes at any time: they are in the names of tests, which all processes must agree on."""


def pages(events: list) -> list[Page]:
    return [e for e in events if isinstance(e, Page)]


def real(shared_data: Path, read: Callable, name: str) -> list:
    path = shared_data / "warc_real" / name
    return read(path.read_bytes(), path=str(path))


KNOWN_DAMAGE = {
    "warcio__bad.arc": ["bad_length", "bad_length"],
    "warcio__example-space-in-url.arc": ["truncated"],
    "warcio__example-trunc.warc": ["bad_length"],
}
"""bad.arc has lengths "-1" and "abc"; the other two announce a length that their bytes belie
(1591 for 1579 bytes, 973 for 975)."""


def test_all_real_archives(shared_data: Path, read: Callable) -> None:
    html = 0
    for path in sorted((shared_data / "warc_real").iterdir()):
        events = real(shared_data, read, path.name)
        assert [e.error for e in events if isinstance(e, Damage)] == KNOWN_DAMAGE.get(path.name, [])
        assert len(events) >= 1
        assert all(page.warc_file == path.name for page in pages(events))
        assert all(page.warc_length > 0 for page in pages(events))
        assert not any(page.url.startswith("<") for page in pages(events))
        html += sum("html" in p.content_type and p.record_type != "revisit" for p in pages(events))
    assert html >= HTML_RESPONSES_IN_WARC_REAL - 1


def test_offsets_and_lengths_cut_out_the_record(shared_data: Path, read: Callable) -> None:
    """As an index of Common Crawl would: the range alone gives the page again."""
    for name in ("whirlwind-python__whirlwind.warc.gz", "aut__issue-514.warc"):
        data = (shared_data / "warc_real" / name).read_bytes()
        for page in pages(read(data)):
            piece = data[page.warc_offset : page.warc_offset + page.warc_length]
            (again,) = pages(read(piece))
            assert again == page._replace(warc_offset=0)


def test_common_crawl_trio(shared_data: Path, read: Callable) -> None:
    (page,) = pages(real(shared_data, read, "whirlwind-python__whirlwind.warc.gz"))
    assert (page.record_type, page.source, page.http_status) == ("response", "warc", 200)
    assert page.mime == "text/html"
    assert page.body.startswith(b"<!DOCTYPE html>")
    assert page.text is None
    (wet,) = pages(real(shared_data, read, "whirlwind-python__whirlwind.warc.wet.gz"))
    assert (wet.record_type, wet.source, wet.body) == ("conversion", "wet", b"")
    assert wet.url == page.url
    assert wet.text is not None
    assert len(wet.text) > 1000
    wat = real(shared_data, read, "whirlwind-python__whirlwind.warc.wat.gz")
    assert [e.record_type for e in wat] == ["warcinfo", "metadata"]
    assert all(isinstance(e, Skipped) for e in wat)


def test_arc(shared_data: Path, read: Callable) -> None:
    for suffix in ("", ".gz"):
        name = f"webarchive-discovery__IAH-20080430204825-00000-blackbook-truncated.arc{suffix}"
        events = real(shared_data, read, name)
        assert [e.record_type for e in events[:2]] == ["filedesc", "dns"]
        found = pages(events)
        assert [p.http_status for p in found] == [200, 200, 200, 200, 200, 200, 200]
        assert found[2].url == "http://www.archive.org/index.php"
        assert found[2].date == "2008-04-30T20:48:26Z"
        assert (found[2].record_type, found[2].source, found[2].record_id) == ("arc", "arc", "")


def test_odd_crawlers(shared_data: Path, read: Callable) -> None:
    (page,) = pages(real(shared_data, read, "warcio__example-wget-bad-target-uri.warc.gz"))
    assert page.url == "http://example.com/"
    (page,) = pages(real(shared_data, read, "warcio__example-space-in-target-uri.warc.gz"))
    assert (page.record_type, " " in page.url) == ("resource", True)
    (page,) = pages(real(shared_data, read, "pywb__missing-status-text.warc"))
    assert page.http_status == 302
    (page,) = pages(real(shared_data, read, "webarchive-discovery__truncated_datetime.warc"))
    assert page.date == "2019-08-15T01:02"
    kinds = collections.Counter(
        e.record_type for e in real(shared_data, read, "aut__example.warc.gz")
    )
    assert kinds["dns"] == 38
    events = real(shared_data, read, "chatnoir-resiliparse__block-sized-records.warc.gz")
    assert [e.record_type for e in events] == ["unknown"] * 3
    (page,) = pages(real(shared_data, read, "pywb__example-wpull.warc.gz"))
    assert page.url == "http://example.com/"
    revisits = [
        p
        for p in pages(real(shared_data, read, "pywb__dupes.warc.gz"))
        if p.record_type == "revisit"
    ]
    assert len(revisits) == 9
    assert {p.body for p in revisits} == {b""}


def test_a_record_across_two_members(shared_data: Path, read: Callable) -> None:
    (page,) = pages(real(shared_data, read, "warcio__example-wrong-chunks.warc.gz"))
    assert page.body.endswith(b"</html>\n")
    assert (page.http_status, page.damage) == (200, "")


@pytest.mark.parametrize("coding", ["brotli", "gzip", "none"])
def test_content_codings_agree(coding: str, shared_data: Path, read: Callable) -> None:
    name = f"webarchive-discovery__transfer_compression_{coding}.warc.gz"
    (page,) = pages(real(shared_data, read, name))
    assert b"<html" in page.body.lower()
    assert page.damage == ""


def test_made_encodings_match_their_original(shared_data: Path, read: Callable) -> None:
    folder = shared_data / "warc_pages"
    rows = map(json.loads, (folder / "dev-extras.expected.jsonl").read_text().splitlines())
    kinds = {row["record_id"]: row["kind"] for row in rows}
    found = pages(read((folder / "dev-extras.warc.gz").read_bytes()))
    encoded = [p for p in found if kinds.get(p.record_id, "").startswith("body-encoding")]
    assert len(encoded) == 16
    assert all(b"<" in p.body[:200] and not p.damage for p in encoded)
    assert sum(p.record_type == "revisit" for p in found) == 6
    assert sum(p.http_status == 404 for p in found) == 10


TEXT = b"<html><body>" + b"some text, " * 200 + b"</body></html>"


def chunked(data: bytes, size: int = 500) -> bytes:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def bare_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("raw", "transfer", "content"),
    [
        (TEXT, "", ""),
        (chunked(TEXT), "chunked", ""),
        (chunked(gzipped(TEXT)), "chunked", "gzip"),
        (chunked(gzipped(TEXT)), "gzip, chunked", ""),
        (gzipped(TEXT), "", "x-gzip"),
        (gzipped(TEXT[:50]) + gzipped(TEXT[50:]), "", "gzip"),
        (gzipped(gzipped(TEXT)), "", "gzip, gzip"),
        (zlib.compress(TEXT), "", "deflate"),
        (bare_deflate(TEXT), "", "deflate"),
        (brotli.compress(TEXT), "", "br"),
        (brotli.compress(gzipped(TEXT)), "", "gzip, br"),
        # Decoded by the crawler, which kept the header.
        (TEXT, "chunked", ""),
        (TEXT, "chunked", "gzip"),
        (TEXT, "", "deflate"),
        (TEXT, "", "br"),
        (TEXT, "", "zstd"),
        (TEXT, "identity", "utf-8, none"),
    ],
)
def test_decoding(raw: bytes, transfer: str, content: str) -> None:
    assert decode_body(raw, transfer, content) == (TEXT, "")


@pytest.mark.parametrize(
    ("raw", "transfer", "content", "damage"),
    [
        (chunked(TEXT)[:900], "chunked", "", "chunk_truncated"),
        (chunked(TEXT)[:-5], "chunked", "", "chunks_unterminated"),
        (chunked(TEXT).replace(b"\r\n1f4\r\n", b"\r\nxyz\r\n", 1), "chunked", "", "bad_chunks"),
        (gzipped(TEXT)[:-9], "", "gzip", "truncated_gzip"),
        (gzipped(TEXT)[:-8] + bytes(8), "", "gzip", "corrupt_gzip"),
        (zlib.compress(TEXT)[:-6], "", "deflate", "truncated_deflate"),
        (brotli.compress(TEXT)[:-3], "", "br", "truncated_br"),
        (b"\x28\xb5\x2f\xfd\xff\xff", "", "zstd", "unsupported_encoding_zstd"),
    ],
)
def test_broken_encodings_are_told(raw: bytes, transfer: str, content: str, damage: str) -> None:
    body = decode_body(raw, transfer, content)
    assert body.damage == damage
    assert body.content


def test_decompression_bomb_is_capped() -> None:
    bomb = gzipped(bytes(MAX_BODY_BYTES + 10))
    body = decode_body(bomb, "", "gzip")
    assert (len(body.content), body.damage) == (MAX_BODY_BYTES, "body_too_large")
    assert decode_body(brotli.compress(bytes(MAX_BODY_BYTES + 10), quality=1), "", "br").damage == (
        "body_too_large"
    )


def test_chunk_extensions_and_bare_newlines() -> None:
    assert unchunk(b"5;a=b\r\nhello\r\n1 \n \n0\r\nTrailer: x\r\n\r\n") == (b"hello ", "")


def test_http_headers() -> None:
    response = parse_response(b"HTTP/1.1 200\nContent-Type: text/html\nContent-Length: 2\n\nhi")
    assert response is not None
    assert (response.status, response.content_type, response.payload) == (200, "text/html", b"hi")
    interim = parse_response(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 X\r\n\r\nno")
    assert interim is not None
    assert (interim.status, interim.payload) == (404, b"no")
    assert parse_response(b"<html>") is None
    headers_only = parse_response(b"HTTP/1.0 302 Found\r\nLocation: /")
    assert headers_only is not None
    assert headers_only.payload == b""


def record(kind: str, block: bytes, *fields: str) -> bytes:
    head = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        "WARC-Record-ID: <urn:uuid:1>",
        "WARC-Date: 2024-01-01T00:00:00Z",
        f"Content-Length: {len(block)}",
        *fields,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def test_marks_of_incomplete_pages(read: Callable) -> None:
    http = ("WARC-Target-URI: http://a.org/", "Content-Type: application/http;msgtype=response")
    cases = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf", (), "short_body", ""),
        (b"HTTP/1.1 200 OK\r\n\r\nfull", ("WARC-Truncated: length",), "", "length"),
        (b"HTTP/1.1 200 OK\r\n\r\npart", ("WARC-Segment-Number: 1",), "segmented", ""),
        (b"<html>no header", (), "no_http_header", ""),
    ]
    for block, fields, damage, truncated in cases:
        (page,) = pages(read(record("response", block, *http, *fields)))
        assert (page.damage, page.truncated) == (damage, truncated)


@pytest.mark.parametrize("kind", ["request", "metadata", "warcinfo", "continuation", "x-new"])
def test_other_types_are_skipped(kind: str, read: Callable) -> None:
    assert read(record(kind, b"x")) == [Skipped(kind, 0)]


@pytest.mark.parametrize("uri", ["dns:a.org", "metadata://gnu.org/wget.log", "urn:x-wpull:log"])
def test_resources_that_are_no_pages(uri: str, read: Callable) -> None:
    (event,) = read(record("resource", b"x", f"WARC-Target-URI: {uri}"))
    assert event == Skipped(uri.split(":")[0], 0)


def test_conversions(read: Callable) -> None:
    uri = "WARC-Target-URI: http://a.org/"
    (page,) = pages(read(record("conversion", "täxt\0".encode(), uri, "Content-Type: text/plain")))
    assert (page.text, page.damage) == ("täxt", "")
    (page,) = pages(read(record("conversion", b"t\xffxt", uri, "Content-Type: text/plain")))
    assert (page.text, page.damage) == ("t�xt", "invalid_utf8")
    assert read(record("conversion", b"\x89PNG", uri, "Content-Type: image/png")) == [
        Skipped("conversion", 0)
    ]
