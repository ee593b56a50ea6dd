"""tidy: newlines, URLs, line ends, characters no file can hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.recipe import Extract
from stages.extract import tidy

PLAIN = Extract()
NO_URLS = Extract(remove_urls=True)
PARTS = ["a", "b.", " ", "\n", "\r", "\t", "\0", "\xa0", "\ud800", "http://x.y/", "é"]
texts = st.lists(st.sampled_from(PARTS)).map("".join) | st.text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\n\n\n\nb", "a\n\nb"),
        ("a\n \n\t\nb", "a\n\nb"),
        ("a\n\nb\n", "a\n\nb"),
        ("a\n  b", "a\n  b"),
        ("a\0b", "ab"),
        ("a\xa0b\u200bc", "a\xa0b\u200bc"),
        ("\ud83d\ude00 \ud83d", "\U0001f600 \ufffd"),
        (" \n ", ""),
        ("see http://x.org now", "see http://x.org now"),
    ],
)
def test_plain(before: str, after: str) -> None:
    assert tidy(before, PLAIN) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("see http://x.org/a?b=c#d now", "see now"),
        ("at https://x.org/a, and (www.foo.org).", "at, and ()."),
        ("HTTPS://X.ORG", ""),
        ("ftp://x.org/file\nnext", "next"),
        ("a\n\nhttp://x.org\n\nb", "a\n\nb"),
        ("x.org and awww.what stay", "x.org and awww.what stay"),
    ],
)
def test_without_urls(before: str, after: str) -> None:
    assert tidy(before, NO_URLS) == after


@pytest.mark.parametrize("newlines", [1, 2, 3])
@given(text=texts)
def test_invariants(newlines: int, text: str) -> None:
    settings = Extract(max_newlines=newlines)
    result = tidy(text, settings)
    assert "\n" * (newlines + 1) not in result
    assert "\r" not in result
    assert "\0" not in result
    assert result == result.strip()
    result.encode("utf-8")
    assert tidy(result, settings) == result


@given(text=texts)
def test_no_url_is_left(text: str) -> None:
    assert not re.search(r"\bhttp://\w", tidy(text, NO_URLS))


def test_long_blank_runs_take_no_time() -> None:
    assert tidy("a\n" + " " * 200_000 + "b", PLAIN).endswith("b")
    assert tidy("a" + "\n \n" * 100_000 + "b", PLAIN) == "a\n\nb"
