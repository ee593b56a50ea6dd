"""A user's own URL lists, of either sense: one entry a line, `#` comments, gzip accepted."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from schemas.errors import InputError
from schemas.recipe import UrlList
from stages.url.address import Address, split_address
from stages.url.domains import DomainSet
from stages.url.words import SubstringSet, squeezed, words_of

Matcher = Callable[[str, Address], str | None]
"""(url, the same taken apart) -> the entry that matched, or None."""


def _domain_matcher(entries: list[str]) -> Matcher:
    domains = DomainSet(entries)
    return lambda url, address: domains.match(address.host)


def _url_matcher(entries: list[str]) -> Matcher:
    listed = frozenset(split_address(entry).entry for entry in entries)
    return lambda url, address: address.entry if address.entry in listed else None


def _word_matcher(entries: list[str]) -> Matcher:
    for entry in entries:
        if squeezed(entry) != entry.lower():
            raise ValueError(f"{entry!r} is not one word of ASCII letters and digits")
    listed = frozenset(entry.lower() for entry in entries)
    return lambda url, address: min(words_of(url.lower()) & listed, default=None)


def _substring_matcher(entries: list[str]) -> Matcher:
    listed = SubstringSet(entry.lower() for entry in entries)
    return lambda url, address: listed.first(url.lower())


_MATCHERS: dict[str, Callable[[list[str]], Matcher]] = {
    "domains": _domain_matcher,
    "urls": _url_matcher,
    "words": _word_matcher,
    "substrings": _substring_matcher,
}


def read_entries(path: Path) -> list[str]:
    """The entries of a list file (UTF-8, optionally gzip by content), without comments.

    Raises InputError when the file is missing, unreadable or not text.
    """
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"URL list {path} is not UTF-8 text (byte {error.start})") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"URL list {path} cannot be read: {reason}") from error
    entries = (line.strip() for line in lines)
    return [entry for entry in entries if entry and not entry.startswith("#")]


class UserList:
    """One list of a recipe, loaded. Matching ignores case; domains cover their subdomains."""

    def __init__(self, settings: UrlList) -> None:
        """Read the file. Raises InputError when it is missing or holds what can never match."""
        self.sense = settings.sense
        self.name = Path(settings.file).name
        try:
            self._match = _MATCHERS[settings.kind](read_entries(Path(settings.file)))
        except ValueError as error:
            raise InputError(f"URL list {settings.file} ({settings.kind}): {error}") from error

    def match(self, url: str, address: Address) -> str | None:
        """The entry that matches the URL, or None."""
        return self._match(url, address)
