"""trafilatura behind the protocol: equal to the library, and blind to earlier pages."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import trafilatura

from benchmarks.warc_pages import HtmlPage
from schemas.recipe import Extract
from stages.extract import EXTRACTORS, ExtractionError
from stages.extract import trafilatura_tuning as tuning_module
from stages.extract.trafilatura_extractor import TrafilaturaExtractor
from stages.extract.trafilatura_tuning import Tuning, tuning

FINEWEB = Extract(favor="precision", deduplicate=True)
BOILERPLATE = "<p>" + "This very same notice of ours stands on each page of the site. " * 4 + "</p>"
extract = EXTRACTORS["trafilatura"]


def page_about(topic: str) -> str:
    body = f"<p>{f'A sentence about {topic} that is long enough to be kept. ' * 8}</p>"
    return f"<html><body><article>{body}{BOILERPLATE}</article></body></html>"


@pytest.fixture
def plain_library() -> Iterator[None]:
    tuning().undo()
    yield
    tuning().apply()


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (Extract(), {}),
        (FINEWEB, {"favor_precision": True, "deduplicate": True}),
        (Extract(favor="recall"), {"favor_recall": True}),
        (Extract(fast=True), {"fast": True}),
        (
            Extract(include_comments=True, include_tables=False),
            {"include_comments": True, "include_tables": False},
        ),
    ],
)
def test_equals_the_untouched_library_on_real_pages(
    settings: Extract, options: dict[str, bool], real_pages: list[HtmlPage], plain_library: None
) -> None:
    expected = []
    for page in real_pages:
        trafilatura.deduplication.LRU_TEST.clear()
        text = trafilatura.extract(page.html, **({"include_comments": False} | options))
        expected.append(text or "")
    tuning().apply()
    assert [extract(page.html, settings, page.url) for page in real_pages] == expected


def test_a_text_does_not_depend_on_the_pages_before(real_pages: list[HtmlPage]) -> None:
    pages = [*real_pages[:30], *real_pages[:10]]
    forwards = {page.record_id: extract(page.html, FINEWEB, page.url) for page in pages}
    backwards = {page.record_id: extract(page.html, FINEWEB, page.url) for page in pages[::-1]}
    assert forwards == backwards


def test_boilerplate_of_earlier_pages_stays() -> None:
    texts = [extract(page_about(f"topic {n}"), FINEWEB, "") for n in range(6)]
    assert all("This very same notice" in text for text in texts)
    shared = [
        trafilatura.extract(page_about(f"topic {n}"), favor_precision=True, deduplicate=True)
        for n in range(6)
    ]
    assert any("This very same notice" not in (text or "") for text in shared)


def test_repetition_within_a_page_is_still_removed() -> None:
    parts = [f"{BOILERPLATE}<p>{f'Other words {n}. ' * 20}</p>" for n in range(6)]
    html = f"<html><body><article>{''.join(parts)}</article></body></html>"
    once = BOILERPLATE.count("This very same")
    assert extract(html, Extract(), "").count("This very same") == 6 * once
    assert extract(html, Extract(deduplicate=True), "").count("This very same") == 3 * once


@pytest.mark.parametrize("html", ["", " ", "\0", "<", "<html/>", "<p>\ud83d", "no markup"])
def test_no_text_is_an_empty_string(html: str) -> None:
    assert extract(html, FINEWEB, "") == ""


def test_caches_are_emptied_now_and_then() -> None:
    extractor = TrafilaturaExtractor()
    for n in range(100):
        extractor(f"<html><body><p>page {n}</p></body></html>", Extract(), "")
    assert trafilatura.utils.trim.cache_info().currsize < 100


def test_a_break_inside_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = TrafilaturaExtractor()
    extractor("<html></html>", Extract(), "")

    def broken(*_: object, **__: object) -> str:
        raise RecursionError("too deep")

    monkeypatch.setattr(extractor, "_extract", broken)
    with pytest.raises(ExtractionError, match="RecursionError: too deep"):
        extractor("x", Extract(), "")


def test_no_memory_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = TrafilaturaExtractor()
    extractor("<html></html>", Extract(), "")

    def greedy(*_: object, **__: object) -> str:
        raise MemoryError

    monkeypatch.setattr(extractor, "_extract", greedy)
    with pytest.raises(MemoryError):
        extractor("x", Extract(), "")


def test_a_missing_library_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(ExtractionError, match="cannot be imported"):
        TrafilaturaExtractor()("<p>x", Extract(), "")


def test_an_unverified_version_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, plain_library: None
) -> None:
    monkeypatch.setattr(tuning_module, "version", lambda _: "2.4.0")
    before = list(trafilatura.xpaths.BODY_XPATH)
    unverified = Tuning()
    unverified.apply()
    assert before == trafilatura.xpaths.BODY_XPATH
    unverified.undo()


def test_discarded_pages_write_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    extract("<html></html>", Extract(), "")
    assert capfd.readouterr() == ("", "")
