"""Numbers as people read them, and links that lead nowhere unexpected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from pipelines.report import formats, published
from pipelines.report.untrusted import clean, link, shorten
from schemas.run import FunnelStep, RunRecordV1


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.percent(1, 3), "33.3%"),
        (formats.percent(0, 3), "0.0%"),
        (formats.percent(1, 10_000), "<0.1%"),
        (formats.percent(9_999, 10_000), ">99.9%"),
        (formats.percent(1, 0), "–"),
        (formats.size(0), "0 B"),
        (formats.size(1_234_567), "1.2 MB"),
        (formats.size(999_999), "1 MB"),
        (formats.short(949_000), "949k"),
        (formats.short(1_607_026), "1.6M"),
        (formats.duration(0.0123), "12 ms"),
        (formats.duration(59.96), "60.0 s"),
        (formats.duration(86.2), "1 min 26 s"),
        (formats.duration(3 * 3600 + 125), "3 h 02 min"),
        (formats.number(None), "–"),
        (formats.number(0.18000001), "0.18"),
        (formats.number(100_000.0), "100,000"),
        (formats.number(12_345.6), "12,346"),
        (formats.things(1, "file"), "1 file"),
        (formats.things(2000, "file"), "2,000 files"),
    ],
)
def test_formats(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://a.example/",
        "https:///path",
        "https://a.example/ b",
        'https://a.example/"',
        "https://a.example/\u202e",
        "https://[::1",
        "https://a.example/" + "x" * 3000,
        "",
    ],
)
def test_only_plain_web_addresses_become_links(url: str) -> None:
    assert "href" not in link(url)


@given(st.text())
def test_a_link_is_one_element_or_text(url: str) -> None:
    shown = str(link("https://a.example/" + url))
    assert shown.count("<") == (2 if "href" in shown else 0)
    assert isinstance(link(url), Markup)


def test_clean_keeps_text_and_its_lines() -> None:
    assert clean("a\tb\nc \u200f\u05d0 é 中") == "a\tb\nc \u200f\u05d0 é 中"
    assert clean("a\x00b\x1b\u202ec\x85") == "a\ufffdb\ufffd\ufffdc\ufffd"
    assert shorten("abcdef", 4) == "abc…"


def record(*steps: tuple[str, int]) -> RunRecordV1:
    funnel = [FunnelStep(step=name, rejected=0, errors=0, kept=kept) for name, kept in steps]
    return RunRecordV1.model_construct(funnel=funnel)


def test_milestones_take_the_last_step_that_there_is() -> None:
    run = record(("records", 100), ("language", 50), ("quality", 20), ("dedup.url", 15))
    rows = {row.name: row.kept for row in published.compare(run)}
    assert list(rows.values()) == [50, 20, 15, None]
    without = record(("records", 100), ("language", 50), ("quality", 20))
    assert [row.kept for row in published.compare(without)] == [50, 20, 20, None]
