"""What all extractors share, and what is particular to resiliparse, jusText and the raw text."""

from __future__ import annotations

import sys

import justext
import pytest

from benchmarks.extraction import bag_f1
from benchmarks.warc_pages import HtmlPage, dev_warcs, ground_truth, read_pages
from schemas.errors import UsageError
from schemas.recipe import Extract
from stages.extract import EXTRACTORS, OPTIONS, ExtractionError, raw_text, validate_extract
from stages.extract.stop_lists import STOP_LISTS, declared_language, stop_list_for

SENTENCE = "The harbour of the town was built by the people who had come to it from the sea. "
PAGE = f"""<html lang="en"><head><title>t</title><script>var x = "script text";</script></head>
<body><nav><ul><li><a href="/">Home</a></li><li><a href="/a">About</a></li></ul></nav>
<main><article><h1>The harbour</h1><p>{SENTENCE * 6}</p><p>{SENTENCE * 5}</p>
<table><tr><td>a cell</td></tr></table></article></main><footer>All rights</footer></body></html>"""


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_main_text_without_the_menu(name: str) -> None:
    text = EXTRACTORS[name](PAGE, Extract(name=name), "http://example.org/")
    assert "built by the people" in text
    assert "script text" not in text
    assert "About" not in text


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
@pytest.mark.parametrize("html", ["", " \n", "\0", "<html><body></body></html>", "<p>\ud83d</p>"])
def test_poor_pages_do_not_break(name: str, html: str) -> None:
    assert len(EXTRACTORS[name](html, Extract(name=name), "")) <= 1
    assert len(raw_text(html)) <= 1


@pytest.mark.parametrize("name", ["resiliparse", "justext"])
def test_a_missing_library_is_a_typed_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"resiliparse": "resiliparse.extract.html2text", "justext": "justext"}[name]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtractionError, match="cannot be imported"):
        EXTRACTORS[name](PAGE, Extract(name=name), "")


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_defaults_and_listed_options_are_valid(name: str) -> None:
    validate_extract(Extract(name=name))
    for option, values in EXTRACTORS[name].options.items():
        assert option in OPTIONS
        for value in values:
            validate_extract(Extract.model_validate({"name": name, option: value}))


def test_validation_names_the_key_and_what_is_allowed() -> None:
    with pytest.raises(UsageError, match=r"extract\.name.*trafilatura, resiliparse, justext"):
        validate_extract(Extract(name="boilerpipe"))
    with pytest.raises(UsageError, match=r"extract\.favor: resiliparse allows 'balanced' or"):
        validate_extract(Extract(name="resiliparse", favor="precision"))
    with pytest.raises(UsageError, match=r"extract\.fast: justext allows False only"):
        validate_extract(Extract(name="justext", fast=True))


def test_resiliparse_options() -> None:
    resiliparse = EXTRACTORS["resiliparse"]
    assert "About" in resiliparse(PAGE, Extract(name="resiliparse", favor="recall"), "")
    assert "a cell" in resiliparse(PAGE, Extract(name="resiliparse"), "")
    without = Extract(name="resiliparse", include_tables=False)
    assert "a cell" not in resiliparse(PAGE, without, "")


def test_every_stop_list_exists_and_all_are_reachable() -> None:
    missing = justext.get_stoplists() - set(STOP_LISTS.values())
    assert set(STOP_LISTS.values()) <= justext.get_stoplists()
    assert missing == {"Simple_English", "Belarusian_Taraskievica"}


@pytest.mark.parametrize(
    ("head", "language", "stop_list"),
    [
        ('<html lang="de-AT">', "de", "German"),
        ("<HTML class=x LANG=fr>", "fr", "French"),
        ('<html xmlns="x" xml:lang="pt_BR">', "pt", "Portuguese"),
        ('<html><meta http-equiv="content-language" content="nl">', "nl", "Dutch"),
        ('<html><meta property="og:locale" content="es_ES">', "es", "Spanish"),
        ("<html>", "", "English"),
        ('<html lang="">', "", "English"),
        ('<html lang="zh-CN">', "zh", None),
        ('<html hreflang="de">', "", "English"),
    ],
)
def test_stop_list_follows_the_declared_language(
    head: str, language: str, stop_list: str | None
) -> None:
    assert declared_language(head) == language
    assert stop_list_for(head) == stop_list


def test_justext_uses_the_list_of_the_language() -> None:
    sentence = "Der Hafen der Stadt wurde von den Leuten gebaut, die aus dem Norden kamen. " * 4
    german = f"<p>{sentence}</p><p>{sentence}</p>"
    justext_ = EXTRACTORS["justext"]
    settings = Extract(name="justext")
    assert "Hafen" in justext_(f'<html lang="de"><body>{german}</body></html>', settings, "")
    assert justext_(f'<html lang="en"><body>{german}</body></html>', settings, "") == ""


def test_justext_without_a_list_goes_by_length_and_links() -> None:
    sentence = "这座城市的港口是由来自海上的人们建造的，他们在这里生活了很多年。" * 8
    html = f'<html lang="zh"><body><p>{sentence}</p><p><a href="/">首页</a></p></body></html>'
    text = EXTRACTORS["justext"](html, Extract(name="justext"), "")
    assert text == sentence


@pytest.mark.parametrize("odd", ["\x01", "\x0b", "\ufffe", "&#1;", "&#x1F;", "&#X00b", "\ud83d"])
def test_justext_survives_characters_that_xml_has_not(odd: str) -> None:
    block = f"<p>{odd}<b>{SENTENCE * 3}</b>{odd}<script>x</script>{odd}{SENTENCE}</p>"
    html = f'<html lang="en"><body>{odd}{block}<form>{odd}</form>{odd}{block}</body></html>'
    assert "built by the people" in EXTRACTORS["justext"](html, Extract(name="justext"), "")


def test_justext_keeps_ordinary_references() -> None:
    html = f'<html lang="en"><body><p>&#65;&#x42;&#13;{SENTENCE * 4}</p></body></html>'
    assert EXTRACTORS["justext"](html, Extract(name="justext"), "").startswith("AB")


def test_raw_text_is_all_that_is_visible() -> None:
    text = raw_text(PAGE)
    assert "About" in text
    assert "All rights" in text
    assert "script text" not in text


@pytest.mark.slow
def test_f1_on_the_first_two_shards(shared_data) -> None:  # type: ignore[no-untyped-def]
    """data/README.md: 0.887 for trafilatura and 0.815 for resiliparse on 370 pages."""
    truth = ground_truth(shared_data)
    pages: list[HtmlPage] = [p for w in dev_warcs(shared_data)[:2] for p in read_pages(w)]
    with_text = [page for page in pages if truth[page.record_id]["main_text"]]
    assert len(with_text) == 370
    for name, expected in (("trafilatura", 0.887), ("resiliparse", 0.815)):
        settings = Extract(name=name)
        scores = [
            bag_f1(EXTRACTORS[name](p.html, settings, p.url), truth[p.record_id]["main_text"])
            for p in with_text
        ]
        assert sum(scores) / len(scores) == pytest.approx(expected, abs=0.005)
