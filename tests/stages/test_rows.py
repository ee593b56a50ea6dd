"""JSON lines: every line is owned by one range, bad lines cost one line."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from schemas.page import Damage, Page
from stages.rows import page_of_row, read_json_lines


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
