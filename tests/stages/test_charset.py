"""stages.charset: the order of trust, contradicted claims, damage, and real pages."""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
import webencodings
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.page import Page
from stages.charset import decode
from stages.warc import Segment, read_segment

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 8
POLISH = "Zażółć gęślą jaźń. Pchnąć w tę łódź jeża lub ośm skrzyń fig. " * 8
KOREAN = "안녕하세요 세계 여러분, 이것은 한국어로 쓰인 글입니다. " * 20


def html(text: str, meta: str = "") -> str:
    declaration = f'<meta charset="{meta}">' if meta else ""
    return f"<html><head>{declaration}<title>t</title></head><body>{text}</body></html>"


@pytest.mark.parametrize(
    ("codec", "meta", "content_type", "charset", "origin"),
    [
        ("utf-8", "iso-8859-1", "text/html; charset=UTF-8", "utf-8", "http"),
        ("cp1251", "utf-8", 'text/html; charset="windows-1251"', "windows-1251", "http"),
        ("koi8-r", "koi8-r", "text/html", "koi8-r", "meta"),
        ("cp1251", "", "text/html", "windows-1251", "detector"),
        ("cp1251", "nonsense", "text/html; charset=none", "windows-1251", "detector"),
        ("utf-8", "", "", "utf-8", "detector"),
    ],
)
def test_order_of_trust(
    codec: str, meta: str, content_type: str, charset: str, origin: str
) -> None:
    page = html(RUSSIAN, meta)
    decoded = decode(page.encode(codec), content_type)
    assert decoded == (page, charset, origin, 0)


@pytest.mark.parametrize(
    ("text", "codec", "charset"),
    [(KOREAN, "euc-kr", "euc-kr"), (POLISH, "iso-8859-2", "iso-8859-2")],
)
def test_detector_reads_undeclared_legacy_pages(text: str, codec: str, charset: str) -> None:
    decoded = decode(text.encode(codec), "")
    assert (decoded.text, decoded.charset, decoded.origin) == (text, charset, "detector")


def test_latin1_means_windows_1252() -> None:
    decoded = decode("“smart” – 10 €".encode("cp1252"), "text/html; charset=ISO-8859-1")
    assert decoded == ("“smart” – 10 €", "windows-1252", "http", 0)


def test_xml_declaration() -> None:
    page = f'<?xml version="1.0" encoding="ISO-8859-2"?><html><body>{POLISH}</body></html>'
    assert decode(page.encode("iso-8859-2"), "")[1:3] == ("iso-8859-2", "xml")


def test_declaration_in_a_comment_does_not_count() -> None:
    page = f'<!-- <meta charset="koi8-r"> --><html><body>{RUSSIAN}</body></html>'
    assert decode(page.encode("cp1251"), "").charset == "windows-1251"


def test_header_that_fails_strictly_gives_way_to_meta() -> None:
    page = html(RUSSIAN, "windows-1251")
    decoded = decode(page.encode("cp1251"), "text/html; charset=utf-8")
    assert decoded == (page, "windows-1251", "meta", 0)


@pytest.mark.parametrize("claim", ["iso-8859-1", "windows-1252", "iso-8859-15"])
def test_single_byte_claim_over_valid_utf8_is_contradicted(claim: str) -> None:
    decoded = decode("naïve café".encode(), f"text/html; charset={claim}")
    assert (decoded.text, decoded.charset) == ("naïve café", "utf-8")


def test_boms() -> None:
    for mark, codec in [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ]:
        decoded = decode(mark + RUSSIAN.encode(codec), "text/html; charset=iso-8859-1")
        assert (decoded.text, decoded.origin) == (RUSSIAN, "bom")


def test_utf16_without_mark_and_utf16_that_is_not() -> None:
    page = html("plain text")
    assert decode(page.encode("utf-16-le"), "")[:2] == (page, "utf-16le")
    assert decode(page.encode(), "text/html; charset=utf-16")[:2] == (page, "utf-8")
    assert decode(html("é", "utf-16").encode(), "")[1:3] == ("utf-8", "meta")


def test_mostly_utf8_keeps_utf8_and_counts_what_was_lost() -> None:
    body = html(POLISH, "utf-8").encode() + b"\x93quoted\x94"
    decoded = decode(body, "")
    assert (decoded.charset, decoded.origin, decoded.replaced) == ("utf-8", "meta", 2)
    assert POLISH in decoded.text
    assert decode(POLISH.encode() + b"\xff", "").charset == "utf-8"
    mislabelled = decode(html(POLISH, "iso-8859-2").encode() + b"\xff", "")
    assert (mislabelled.charset, mislabelled.replaced) == ("utf-8", 1)


def test_utf8_cut_inside_a_character() -> None:
    decoded = decode(RUSSIAN.encode()[:101], "text/html; charset=utf-8")
    assert (decoded.charset, decoded.origin, decoded.replaced) == ("utf-8", "http", 1)


def test_false_utf8_claim_over_windows_1252() -> None:
    body = html("It’s a “test” – naïve café", "utf-8").encode("cp1252")
    decoded = decode(body, "text/html; charset=utf-8")
    assert decoded.charset == "windows-1252"
    assert "It’s a “test” – naïve café" in decoded.text


def test_few_foreign_bytes_are_no_evidence_for_a_rare_charset() -> None:
    body = html("An English page. " * 500 + "Niño").encode("cp1252")
    assert decode(body, "") == (body.decode("cp1252"), "windows-1252", "fallback", 0)


def test_nuls_do_not_leave() -> None:
    assert decode(b"a\0b", "text/html; charset=utf-8").text == "ab"
    assert decode(b"", "") == ("", "utf-8", "detector", 0)


LABELS = ["", "utf-8", "utf-16", "utf-16be", "gbk", "big5", "shift_jis", "euc-kr", "iso-2022-jp"]
LABELS += ["iso-8859-8-i", "x-user-defined", "hz-gb-2312", "replacement", "utf-7", "macintosh"]
LABELS += ["unicode_escape", "zlib", "idna", "punycode", "é", "\ud800"]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=100).map(lambda t: t.encode("utf-16-le"))),
    st.sampled_from(LABELS),
    st.sampled_from(["", "utf-8", "utf-16", "gb18030", "x-mac-cyrillic", "hex"]),
)
def test_never_raises_and_arrow_accepts(body: bytes, label: str, meta: str) -> None:
    prefix = f'<meta charset="{meta}">'.encode() if meta else b""
    decoded = decode(prefix + body, f"text/html; charset={label}")
    pa.array([decoded.text], pa.string())
    assert "\0" not in decoded.text
    assert decoded.replaced >= 0


def test_every_label_of_the_standard_can_be_decoded() -> None:
    for label in webencodings.LABELS:
        body = f'<meta charset="{label}">'.encode() + b"\xb0\xa1\x81\xff\0\xd8"
        assert decode(body, f"text/html; charset={label}").text


def _pages(path: Path) -> list[Page]:
    size = path.stat().st_size
    with path.open("rb") as handle:
        events = list(read_segment(handle, Segment(str(path), 0, size, size)))
    return [event for event in events if isinstance(event, Page)]


def test_real_pages_agree_with_the_ground_truth(shared_data: Path) -> None:
    folder = shared_data / "warc_pages"
    truth = {}
    with gzip.open(folder / "ground_truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            truth[row["record_id"]] = row["true_charset"]
    known = agree = undeclared = undeclared_whole = 0
    for path in sorted(folder.glob("dev-0000[0-3].warc.gz")):
        for page in _pages(path):
            decoded = decode(page.body, page.content_type)
            true = truth[page.record_id]
            if true is None:
                undeclared += 1
                undeclared_whole += decoded.replaced <= 4
                continue
            known += 1
            agree += webencodings.lookup(true).name == decoded.charset
    assert known > 800
    assert agree / known >= 0.998
    assert undeclared_whole / undeclared >= 0.95


def test_translated_pages_in_legacy_charsets(shared_data: Path) -> None:
    codecs_of = {"cs": "cp1250", "ru": "koi8-r", "el": "iso-8859-7", "ja": "euc-jp"}
    codecs_of |= {"zh": "gbk", "ko": "euc-kr", "de": "cp1252", "nl": "cp1252", "ro": "iso-8859-2"}
    folder = shared_data / "warc_pages"
    rows = (folder / "dev-multilingual.labels.jsonl").read_text().splitlines()
    languages = {row["record_id"]: row["lang"] for row in map(json.loads, rows)}
    right = total = 0
    for page in _pages(folder / "dev-multilingual.warc.gz"):
        codec = codecs_of.get(languages.get(page.record_id, ""))
        if codec is None:
            continue
        undeclared = page.body.decode("utf-8").replace("charset=", "").replace("encoding=", "")
        body = undeclared.encode(codec, "xmlcharrefreplace")
        total += 1
        right += decode(body, "text/html").text == body.decode(codec)
    assert total > 100
    assert right / total >= 0.98
