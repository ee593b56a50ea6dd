"""Public IP addresses: Presidio's recognizer, then the address registries and the context.

Public means that IANA lets it be routed to a host: not private, loopback, link-local, shared,
multicast, reserved, or for documentation. Documentation ranges (RFC 5737, RFC 3849, RFC 9637)
belong to nobody; the replacements come from them, so they stay. The registries are written out
because `ipaddress.is_global` changes between patch versions of Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from stages.pii.presidio import recognizers
from stages.pii.spans import Span, runs

KIND = "ip"

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
"""IANA IPv4 Special-Purpose Address Registry (RFC 6890), and multicast (RFC 5771)."""

_NOT_PUBLIC_V6 = tuple(
    IPv6Network(block)
    for block in (
        "::/8", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20",
        "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
"""IANA IPv6 Special-Purpose Address Registry (RFC 6890), site-local (RFC 3879) and multicast."""

_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""The only IPv6 block IANA has allocated for global unicast (RFC 4291 2.4)."""

_SEED = re.compile(r"\d\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:")
_INSIDE = re.compile(r"[\w.:/%]+")
_SUFFIX = re.compile(r"[/%].*", re.DOTALL)

_VERSION_BEFORE = re.compile(
    r"(?:\b(?:v|ver|vers|version|versión|versione|versão|release|rev|revision|build|firmware"
    r"|section|sec|chapter|clause|table|figure|fig|oid)\b\W{0,3}|版本\s*|§\s*"
    r"|[^\W\d]/|[^\W\d][-_]|\d\.|[€$£¥])$",
    re.IGNORECASE,
)
"""What makes four dotted numbers a version, a section, an amount or a longer number."""

_VERSION_AFTER = re.compile(
    r"\.\d|[-_+~][A-Za-z]|\s?[€%]|\.(?:tar|t?gz|zip|exe|msi|dmg|deb|rpm|jar|whl|apk|dll|js|css)\b"
)
_SECTION_NUMBER = re.compile(r"(?:\d\.){3}\d")
_CONTEXT_CHARS = 16


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether IANA's registries let the address belong to a host on the Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_V4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    return not any(address in block for block in _NOT_PUBLIC_V6)


class IpFinder:
    """Presidio's IpRecognizer on the stretches of text that can hold an address."""

    def __init__(self) -> None:
        self._recognizer = recognizers().ip()

    def find(self, text: str) -> list[Span]:
        """Public IPv4 and IPv6 addresses, without prefix length, zone or port."""
        return [
            span
            for start, end in self._stretches(text)
            for span in self.find_between(text, start, end)
        ]

    def find_between(self, text: str, start: int, end: int) -> list[Span]:
        """The recognizer on text[start:end] as it is, then the checks in the whole text."""
        found = []
        for result in self._recognizer.analyze(text[start:end], []):
            written = text[start + result.start : start + result.end]
            bare = _SUFFIX.sub("", written)
            first, last = start + result.start, start + result.start + len(bare)
            try:
                address = ip_address(bare)
            except ValueError:
                # Octets with leading zeros, which mean different things to different software.
                continue
            if is_public(address) and _looks_like_an_address(text, first, last, address):
                found.append(Span(KIND, first, last, str(address)))
        return found

    def _stretches(self, text: str) -> Iterator[tuple[int, int]]:
        for start, end in runs(text, _SEED, _INSIDE):
            run = text[start:end]
            # A time (12:30:45) has two colons; an IPv6 address has "::" or at least six.
            if "::" in run or run.count(":") >= 6 or run.count(".") >= 3:
                yield start, end


def _looks_like_an_address(
    text: str, start: int, end: int, address: IPv4Address | IPv6Address
) -> bool:
    if isinstance(address, IPv6Address):
        return _looks_like_ipv6(text[start:end], address)
    if _VERSION_AFTER.match(text, end):
        return False
    before = text[max(0, start - _CONTEXT_CHARS) : start]
    if _VERSION_BEFORE.search(before):
        return False
    # "1.2.3.4 Title" at the start of a line is a numbered section.
    line_start = not before.rpartition("\n")[2].strip()
    return not (line_start and _SECTION_NUMBER.fullmatch(text, start, end))


def _looks_like_ipv6(written: str, address: IPv6Address) -> bool:
    groups = [group for group in written.split(":") if group]
    if "." in written:
        return True
    if "::" in written:
        # "::add" and "12::30" are code and typing errors; allocated addresses are longer.
        return len(groups) >= 3 and address in _GLOBAL_UNICAST_V6
    # Eight pairs are a hardware address (EUI-64) or a fingerprint.
    return max(map(len, groups)) > 2
