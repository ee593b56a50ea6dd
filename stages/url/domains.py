"""Registered domains by the Public Suffix List, and sets of domains that cover their subdomains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from tldextract import TLDExtract

from stages.url.address import normal_host

_HOSTS_REMEMBERED = 1 << 14


class Suffixes(NamedTuple):
    """Where a host name splits; both are empty for IP addresses and unknown endings."""

    registered: str
    """`example.co.uk` of `www.example.co.uk`; empty when the host is itself a public suffix."""
    public: str
    """`co.uk` of `www.example.co.uk`."""


@lru_cache(maxsize=1)
def _extractor() -> TLDExtract:
    # The snapshot of the package alone: no list is fetched and no cache folder is written.
    # Private suffixes (blogspot.com) are off, as in datatrove's URLFilter.
    return TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)


@lru_cache(maxsize=_HOSTS_REMEMBERED)
def suffixes_of(host: str) -> Suffixes:
    """Split a host (as `host_of` gives it) by the packaged Public Suffix List; never raises."""
    parts = _extractor().extract_str(host)
    return Suffixes(parts.top_domain_under_public_suffix, parts.suffix)


def registered_domain(host: str) -> str:
    """`bbc.co.uk` for `news.bbc.co.uk`; empty for IP addresses, `localhost` and bare suffixes."""
    return suffixes_of(host).registered


def parents(host: str) -> Iterator[str]:
    """The host, then each domain above it: a.b.c, b.c, c."""
    while host:
        yield host
        host = host.partition(".")[2]


class DomainSet:
    """Domains that each stand for themselves and everything under them."""

    def __init__(self, domains: Iterable[str]) -> None:
        """Take names in any spelling: `Example.com`, `.example.com`, `*.example.com`, IDNs."""
        self._domains = frozenset(normal_host(name.strip().lstrip("*.")) for name in domains) - {""}

    def match(self, host: str) -> str | None:
        """The listed domain that covers the host, or None."""
        if host in self._domains:
            return host
        return next((name for name in parents(host) if name in self._domains), None)
