"""JSON lines: every line is owned by one range, bad lines cost one line."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
from datetime import UTC, datetime
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.page import Damage, Page
from stages.rows import page_of_row, read_json_lines, read_packed_json_lines


def lines_of(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_fields_and_nested_metadata() -> None:
    row = {"id": "7", "text": "a\x00b\ud800", "metadata": {"url": "https://e.org", "date": "2020"}}
    page = page_of_row(row, "f.jsonl", 3, "jsonl")
    assert isinstance(page, Page)
    assert (page.url, page.date, page.text, page.warc_offset) == ("https://e.org", "2020", "ab?", 3)


def test_html_rows_become_bodies() -> None:
    page = page_of_row({"html": "<p>ü</p>", "url": "u"}, "f", 0, "jsonl")
    assert isinstance(page, Page)
    assert page.text is None
    assert page.body == "<p>ü</p>".encode()
    assert page.content_type == "text/html; charset=utf-8"


def test_a_row_without_text_names_what_it_has() -> None:
    damage = page_of_row({"body": "x", "url": "u"}, "f", 0, "jsonl")
    assert isinstance(damage, Damage)
    assert damage.error == "no_text"
    assert "body, url" in damage.detail


def test_bad_lines_are_damage_with_their_offset() -> None:
    data = lines_of({"text": "one"}) + b"{broken\n" + b"[1]\n\n" + lines_of({"text": "two"})
    events = list(read_json_lines(io.BytesIO(data), 0, len(data), "f"))
    assert [type(e) for e in events] == [Page, Damage, Damage, Page]
    assert [e.offset for e in events if isinstance(e, Damage)] == [16, 24]


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=12),
    cuts=st.lists(st.integers(0, 400), max_size=4),
)
def test_any_cut_gives_every_line_once(texts: list[str], cuts: list[int]) -> None:
    data = lines_of(*({"text": text} for text in texts))
    whole = list(read_json_lines(io.BytesIO(data), 0, len(data), "f"))
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [
        event
        for start, end in zip(edges, edges[1:], strict=False)
        for event in read_json_lines(io.BytesIO(data), start, end, "f")
    ]
    assert parts == whole


def page(row: dict[str, object]) -> Page:
    made = page_of_row(row, "f.jsonl", 0, "jsonl")
    assert isinstance(made, Page)
    return made


@pytest.mark.parametrize("field", ["url", "date", "id", "text", "html"])
def test_lone_surrogates_are_replaced_in_every_field(field: str) -> None:
    row: dict[str, object] = {"text": "t", field: "a\ud800b"}
    if field == "html":
        del row["text"]
    made = page(row)
    assert any("a?b" in str(value) for value in made)
    for value in made:
        if isinstance(value, str):
            value.encode()


def test_a_surrogate_in_a_field_name_does_not_reach_the_detail() -> None:
    damage = page_of_row({"\ud800": 1}, "f", 0, "jsonl")
    assert isinstance(damage, Damage)
    damage.detail.encode()


def test_bytes_are_text_when_they_are_utf8() -> None:
    assert page({"text": "ü".encode()}).text == "ü"
    damage = page_of_row({"text": b"\xff\xfe"}, "f", 7, "parquet")
    assert isinstance(damage, Damage)
    assert (damage.offset, damage.error) == (7, "bad_text")


def test_html_as_bytes_keeps_its_charset_for_the_decoder() -> None:
    made = page({"html": b"<meta charset=latin1>\xfc"})
    assert (made.body, made.content_type) == (b"<meta charset=latin1>\xfc", "text/html")


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 5, True])
def test_what_is_no_string_does_not_become_text(value: object) -> None:
    damage = page_of_row({"text": value}, "f", 0, "jsonl")
    assert isinstance(damage, Damage)
    assert damage.error == "text_not_a_string"
    assert "text" in damage.detail


def test_dates_and_numbers_become_strings_and_lists_do_not() -> None:
    when = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    made = page({"text": "t", "id": 7, "date": when, "url": ["x"], "uri": "https://e.org"})
    assert (made.record_id, made.date) == ("7", "2024-01-02T03:04:05+00:00")
    assert made.url == "https://e.org"


@pytest.mark.parametrize(
    "nested", [{"url": "https://e.org", "date": None}, [("url", "https://e.org"), ("x", "y")]]
)
def test_nulls_give_way_to_nested_fields(nested: object) -> None:
    made = page({"text": "t", "url": None, "date": "2020", "metadata": nested})
    assert (made.url, made.date) == ("https://e.org", "2020")


def test_a_nan_is_a_null() -> None:
    assert page({"text": float("nan"), "content": "t", "url": float("nan")}).text == "t"


def test_blank_text_gives_way_to_what_is_full() -> None:
    assert page({"text": " ", "html": "<p>x</p>"}).body == b"<p>x</p>"
    assert page({"text": "", "content": "t"}).text == "t"
    assert page({"text": "", "html": ""}).text == ""


def packed(*rows: object) -> bytes:
    return gzip.compress(lines_of(*rows), mtime=0)


def harmed(data: bytearray, harm: str) -> bytes:
    if harm == "truncate":
        del data[len(data) // 2 :]
    elif harm == "crc":
        data[-8] ^= 1
    elif harm == "deflate":
        data[len(data) // 2] ^= 0xFF
        data[len(data) // 2 + 1 : len(data) // 2 + 60] = b"\xff" * 59
    elif harm == "not_gzip":
        data[:2] = b"{}"
    return bytes(data)


def unpacked(data: bytes, start: int, end: int) -> list[Page | Damage]:
    with gzip.open(io.BytesIO(data)) as handle:
        return list(read_packed_json_lines(cast(BinaryIO, handle), start, end, "f"))


ROWS = [{"text": hashlib.sha256(bytes([n])).hexdigest() * 40} for n in range(200)]


@pytest.mark.parametrize("harm", ["truncate", "crc", "deflate", "not_gzip"])
def test_damaged_compression_ends_with_the_offset_of_the_lost_line(harm: str) -> None:
    *pages, last = unpacked(harmed(bytearray(packed(*ROWS)), harm), 0, 2**62)
    assert isinstance(last, Damage)
    assert last.error == "corrupt_gzip"
    whole = lines_of(*ROWS)
    begins = [0, *(n + 1 for n, byte in enumerate(whole) if byte == 10)]
    offsets = [e.warc_offset if isinstance(e, Page) else e.offset for e in pages]
    assert offsets == begins[: len(pages)]
    if harm != "deflate":
        assert last.offset in (begins[len(pages)], len(whole))
    if harm == "not_gzip":
        assert (pages, last.offset) == ([], 0)


@pytest.mark.parametrize("harm", ["none", "truncate", "crc", "deflate", "not_gzip"])
@given(cuts=st.lists(st.integers(1, 530_000), max_size=6))
@settings(max_examples=15, deadline=None)
def test_any_cut_of_packed_lines_gives_every_line_and_the_damage_once(
    harm: str, cuts: list[int]
) -> None:
    data = harmed(bytearray(packed(*ROWS)), harm)
    edges = sorted({0, 2**62, *cuts})
    parts = [
        event for start, end in itertools.pairwise(edges) for event in unpacked(data, start, end)
    ]
    assert parts == unpacked(data, 0, 2**62)
