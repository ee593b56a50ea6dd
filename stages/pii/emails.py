"""Email addresses: Presidio's recognizer on the stretches of text around an '@'."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tldextract

from stages.pii.presidio import recognizers
from stages.pii.spans import Span, runs

KIND = "email"

_SEED = re.compile("@")
_INSIDE = re.compile(r"[\w!#$%&'*+\-/=?^`{|}~.@]+")
_ASCII_ADDRESS = re.compile(r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+")
_BEFORE_ADDRESS = re.compile(r"(?:[^@]*[/=?&#|])?[!$%'*^`{}~.\-]*(?=[^@])")
_MAX_SIDE_CHARS = 320
"""RFC 5321 4.5.3.1: 64 octets of local part and 255 of domain; what is longer is no address."""


class EmailFinder:
    """Presidio's EmailRecognizer with the public suffix list that tldextract packages: no
    download, no cache file."""

    def __init__(self) -> None:
        suffixes = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
        base: Any = recognizers().email

        class OfflineEmailRecognizer(base):
            def validate_result(self, pattern_text: str) -> bool:
                return suffixes(pattern_text).fqdn != ""

        self._recognizer = OfflineEmailRecognizer()

    def find(self, text: str) -> list[Span]:
        """Addresses whose domain ends in a public suffix."""
        if "@" not in text:
            return []
        found: list[Span] = []
        for start, end in self._stretches(text):
            found.extend(self.find_between(text, start, end))
        return found

    def find_between(self, text: str, start: int, end: int) -> list[Span]:
        """The recognizer on text[start:end] as it is."""
        return [
            _span(text, start + first, start + last)
            for first, last in self._matches(text[start:end])
        ]

    def _stretches(self, text: str) -> Iterator[tuple[int, int]]:
        for start, end in runs(text, _SEED, _INSIDE):
            if end - start <= 2 * _MAX_SIDE_CHARS:
                yield start, end
                continue
            # The pattern is quadratic on a long run (a data: URI, a hash): cut to what can count.
            reached = start
            for at in _SEED.finditer(text, start, end):
                if at.start() >= reached:
                    first = max(reached, at.start() - _MAX_SIDE_CHARS)
                    reached = min(end, at.end() + _MAX_SIDE_CHARS)
                    yield first, reached

    def _matches(self, run: str) -> list[tuple[int, int]]:
        results = self._recognizer.analyze(run, [])
        if results:
            return [(result.start, result.end) for result in results]
        # Scripts without spaces and emphasis: "联系foo@example.org谢谢", "foo@example.org_".
        return [
            match.span()
            for match in _ASCII_ADDRESS.finditer(run)
            if self._recognizer.validate_result(match.group())
        ]


def _span(text: str, start: int, end: int) -> Span:
    # RFC 5322 allows "x/a=b@c" as a local part; on the web it is a path or markup before one.
    before = _BEFORE_ADDRESS.match(text, start, end)
    if before:
        start = before.end()
    return Span(KIND, start, end, text[start:end].lower())
