from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InputError, UsageError
from schemas.recipe import UrlFilter, UrlList
from stages.url import Blocklist, UrlRules

FINEWEB = UrlFilter(blocklist="fineweb", hard_words=True, soft_words_min=2, substrings=True)


@pytest.fixture
def rules(make_assets, tmp_path: Path) -> UrlRules:
    return UrlRules(FINEWEB, Blocklist.build(tmp_path / "list", assets=make_assets()))


@pytest.mark.parametrize(
    ("url", "rule", "detail"),
    [
        ("http://bad.com/", "url.domain", "bad.com"),
        ("http://www.bad.com:8080/x", "url.domain", "bad.com"),
        ("HTTP://WWW.BAD.COM/x", "url.domain", "bad.com"),
        ("<http://bad.com/>", "url.domain", "bad.com"),
        ("https://sub.host.org/x", "url.domain", "sub.host.org"),
        ("http://1.2.3.4/x", "url.domain", "1.2.3.4"),
        ("http://anything.xxx/", "url.domain", "xxx"),
        ("http://site.org/Bad/page", "url.url", "site.org/Bad/page"),
        ("https://www.site.org/Bad/page/", "url.url", "site.org/Bad/page"),
        ("http://ok.org/porn/", "url.hard_word", "porn"),
        ("http://ok.org/a-porn.html", "url.hard_word", "porn"),
        ("http://ok.org/escort_nude", "url.soft_words", "escort nude"),
        ("http://ok.org/FREE-s/ex", "url.substring", "freesex"),
    ],
)
def test_rejections(rules: UrlRules, url: str, rule: str, detail: str) -> None:
    rejection = rules.check(url)
    assert rejection is not None
    assert (rejection.stage, rejection.rule, rejection.detail) == ("url", rule, detail)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://notbad.com/",
        "http://bad.com.ok.org/",
        "http://host.org/",
        "http://a.sub.host.org/",
        "http://site.org/Bad/page/2",
        "http://ok.org/popcornporn2",
        "http://ok.org/PORN/",
        "http://ok.org/nude",
        "http://ok.org/nude/nude",
        "http://ok.org/ass",
        "http://ok.org/?q=http://bad.com/",
    ],
)
def test_passes(rules: UrlRules, url: str) -> None:
    assert rules.check(url) is None


def test_soft_words_report_count_and_threshold(rules: UrlRules) -> None:
    rejection = rules.check("http://ok.org/nude/escort/nude")
    assert rejection is not None
    assert (rejection.value, rejection.threshold) == (2, 2)


def test_nothing_asked_nothing_dropped() -> None:
    assert UrlRules(UrlFilter(), None).check("http://porn.xxx/porn") is None


def test_words_come_from_the_wheel_without_a_built_list() -> None:
    rejection = UrlRules(UrlFilter(hard_words=True), None).check("http://ok.org/porn")
    assert rejection is not None
    assert rejection.rule == "url.hard_word"


def test_a_named_block_list_must_be_given() -> None:
    with pytest.raises(UsageError, match="fineweb"):
        UrlRules(FINEWEB, None)


@pytest.mark.parametrize(
    ("url", "dropped"),
    [
        ("https://de.wikipedia.org/wiki/Wurst", "wikipedia.org"),
        ("https://arxiv.org/abs/2306.01116", "arxiv.org"),
        ("https://www.ncbi.nlm.nih.gov/pmc/", "ncbi.nlm.nih.gov"),
        ("https://www.nih.gov/", None),
        ("https://notarxiv.org/", None),
    ],
)
def test_quality_sources(url: str, dropped: str | None) -> None:
    rejection = UrlRules(UrlFilter(exclude_quality_sources=True), None).check(url)
    assert (rejection and rejection.detail) == dropped
    assert rejection is None or rejection.rule == "url.quality_source"


def _user_rules(tmp_path: Path, kind: str, text: str, sense: str = "block") -> UrlRules:
    path = tmp_path / f"{kind}.txt"
    path.write_text(text, encoding="utf-8")
    settings = {"lists": [{"file": str(path), "kind": kind, "sense": sense}]}
    return UrlRules(UrlFilter(**settings), None)


@pytest.mark.parametrize(
    ("kind", "text", "blocked", "passed"),
    [
        ("domains", "# c\n\nMine.org\n", "http://a.mine.org/", "http://notmine.org/"),
        ("domains", "*.mine.org", "http://mine.org/", "http://org/"),
        ("urls", "https://mine.org/A\n", "http://www.mine.org/A/#x", "http://mine.org/AB"),
        ("words", "Casino\n", "http://x.org/CASINO-bonus", "http://x.org/casinos"),
        ("substrings", "/Tag/\n", "http://x.org/TAG/1", "http://x.org/tags/1"),
    ],
)
def test_user_block_lists(tmp_path: Path, kind: str, text: str, blocked: str, passed: str) -> None:
    rules = _user_rules(tmp_path, kind, text)
    rejection = rules.check(blocked)
    assert rejection is not None
    assert rejection.rule == "url.user_list"
    assert rejection.detail.endswith(f"({kind}.txt)")
    assert rules.check(passed) is None


def test_allow_overrides_every_rule(make_assets, tmp_path: Path) -> None:
    allow, block = tmp_path / "allow.txt.gz", tmp_path / "block.txt"
    allow.write_bytes(gzip.compress(b"bad.com\nok.org\nwikipedia.org\n", mtime=0))
    block.write_text("ok.org\nother.org\n")
    settings = FINEWEB.model_copy(
        update={
            "exclude_quality_sources": True,
            "lists": [
                UrlList(file=str(block), kind="domains"),
                UrlList(file=str(allow), kind="domains", sense="allow"),
            ],
        }
    )
    rules = UrlRules(settings, Blocklist.build(tmp_path / "list", assets=make_assets()))
    for url in ("http://bad.com/", "http://ok.org/porn", "https://en.wikipedia.org/"):
        assert rules.check(url) is None
    rejection = rules.check("http://other.org/")
    assert rejection is not None
    assert rejection.rule == "url.user_list"


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (None, "domains", "cannot be read: No such file"),
        (b"a.com\n\xff\xfe", "domains", "is not UTF-8 text"),
        (gzip.compress(b"a.com\n" * 99, mtime=0)[:-9], "urls", "cannot be read"),
        (b"two words\n", "words", "is not one word"),
    ],
)
def test_unusable_user_list(tmp_path: Path, content: bytes | None, kind: str, message: str) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    settings = UrlFilter(**{"lists": [{"file": str(path), "kind": kind}]})
    with pytest.raises(InputError, match=message) as caught:
        UrlRules(settings, None)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(url=st.text())
def test_check_never_raises(full_folder: Path, url: str) -> None:
    settings = FINEWEB.model_copy(update={"exclude_quality_sources": True})
    rules = UrlRules(settings, Blocklist.open(full_folder))
    first = rules.check(url)
    assert first == rules.check(url)
