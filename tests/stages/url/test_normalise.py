from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.url import host_of, normalise

SAME_PAGE = [
    "http://example.com/a/b",
    "https://example.com/a/b",
    "HTTP://WWW.Example.COM/a/b",
    "<https://example.com/a/b>",
    "  https://example.com/a/b \n",
    "https://example.com:443/a/b",
    "http://example.com:80/a/b",
    "http://example.com:/a/b",
    "http://example.com./a/b",
    "http://me:secret@example.com/a/b",
    "//example.com/a/b",
    "example.com/a/b",
    "https://example.com/a/b/",
    "https://example.com/a/b//",
    "https://example.com/a/b#part",
    "https://example.com/a/b #part",
    "https://example.com/a/b?",
    "https://example.com/a/./c/../b",
    "https://example.com/a/%62",
    "https://example.com/a/b?utm_source=x&utm_medium=y",
    "https://example.com/a/b?fbclid=1&gclid=2",
    "https://example.com/a/b/?ref=home",
    "https://example.com/a/b?feed=rss2",
    "https://example.com/a/b;jsessionid=0A1B?PHPSESSID=1",
]


@pytest.mark.parametrize("url", SAME_PAGE)
def test_spellings_of_one_page_have_one_key(url: str) -> None:
    assert normalise(url) == "example.com/a/b"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("", ""),
        ("http://", ""),
        ("http://example.com/", "example.com"),
        ("http://example.com?b=2&a=1", "example.com?a=1&b=2"),
        ("http://example.com/?b=2&a=1&b=1", "example.com?a=1&b=2&b=1"),
        ("http://example.com/?utm_source=x&id=7", "example.com?id=7"),
        ("http://example.com/?id=7&utm_source=x", "example.com?id=7"),
        ("http://example.com/?reference=7&feedback=1", "example.com?feedback=1&reference=7"),
        ("http://example.com/A?B=C", "example.com/A?B=C"),
        ("http://example.com:8080/", "example.com:8080"),
        ("http://example.com:0080/", "example.com"),
        ("http://example.com/a b", "example.com/a%20b"),
        ("http://example.com/ä", "example.com/%C3%A4"),
        ("http://example.com/%c3%a4", "example.com/%C3%A4"),
        ("http://example.com/a%2fb", "example.com/a%2Fb"),
        ("http://example.com/100%", "example.com/100%25"),
        ("http://München.example/", "xn--mnchen-3ya.example"),
        ("http://例え.jp/", "xn--r8jz45g.jp"),
        ("http://www。example。com/", "example.com"),
        ("http://💩.la/", "xn--ls8h.la"),
        ("http://www.com/", "www.com"),
        ("http://www.www.example.com/", "example.com"),
        ("http://[2001:DB8::1]:80/x", "[2001:db8::1]/x"),
        ("http://192.168.0.1:8000/x", "192.168.0.1:8000/x"),
        ("ftp://Example.com/x", "ftp://example.com/x"),
    ],
)
def test_key(url: str, key: str) -> None:
    assert normalise(url) == key


def test_different_pages_keep_different_keys() -> None:
    urls = ["http://a.com/x", "http://a.com/X", "http://a.com/x?p=1", "http://a.com/x?p=2"]
    urls += ["http://b.a.com/x", "http://a.com:81/x", "http://a.com/x%2Fy", "http://a.com/x/y"]
    assert len({normalise(url) for url in urls}) == len(urls)


URL_PIECES = st.sampled_from(
    ["http:", "https:", "//", "/", "www.", "a", "Example.com", ":", "80", "@", "?", "#", "&", "=",
     "%", "%41", "%2f", "%25", "..", ".", ";jsessionid=", "utm_a=1", "[", "]", "::1", "ü", "。",
     "<", ">", " ", "\n", "\x00", "\\", "İ", "ß", "\ud800", "💩", "xn--", "ftp://"]
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.text(), st.lists(URL_PIECES, max_size=14).map("".join)))
@example("http://user@/X")
@example("http:////HOST/x")
@example("a:80:80/")
@example("http://%77ww.x.com%2e")
@example("http://x:" + "9" * 5000)
def test_normalise_is_idempotent_and_total(url: str) -> None:
    key = normalise(url)
    assert normalise(key) == key


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_host_of_is_total_and_stable(url: str) -> None:
    host = host_of(url)
    assert host == host.lower()
    assert host_of(f"http://{host}/") == host


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://WWW.Example.com:8443/x?y#z", "www.example.com"),
        ("http://user:pw@example.com", "example.com"),
        ("http://münchen.de/", "xn--mnchen-3ya.de"),
        ("http://[::1]:80/", "[::1]"),
        ("<http://example.com/>", "example.com"),
        ("example.com?x@y", "example.com"),
        ("", ""),
    ],
)
def test_host_of(url: str, host: str) -> None:
    assert host_of(url) == host
