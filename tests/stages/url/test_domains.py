from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.url import registered_domain
from stages.url.domains import DomainSet, suffixes_of


@pytest.mark.parametrize(
    ("host", "registered"),
    [
        ("news.bbc.co.uk", "bbc.co.uk"),
        ("example.com", "example.com"),
        ("a.b.example.blogspot.com", "blogspot.com"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("co.uk", ""),
        ("localhost", ""),
        ("127.0.0.1", ""),
        ("[::1]", ""),
        ("", ""),
    ],
)
def test_registered_domain(host: str, registered: str) -> None:
    assert registered_domain(host) == registered


def test_public_suffix_of_a_bare_suffix() -> None:
    assert suffixes_of("co.uk").public == "co.uk"


def test_suffix_list_needs_no_network_and_no_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from stages.url import domains

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TLDEXTRACT_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    domains._extractor.cache_clear()
    domains.suffixes_of.cache_clear()
    assert registered_domain("a.example.org") == "example.org"
    assert list(tmp_path.iterdir()) == []


@given(st.text())
def test_registered_domain_is_total(host: str) -> None:
    registered_domain(host)


def test_domain_set_covers_subdomains_only() -> None:
    domains = DomainSet(["Example.com", ".b.org", "*.c.org", "münchen.de", ""])
    assert domains.match("example.com") == "example.com"
    assert domains.match("a.b.example.com") == "example.com"
    assert domains.match("notexample.com") is None
    assert domains.match("example.com.evil.net") is None
    assert domains.match("x.b.org") == "b.org"
    assert domains.match("c.org") == "c.org"
    assert domains.match("xn--mnchen-3ya.de") == "xn--mnchen-3ya.de"
    assert domains.match("") is None
