"""The parts of a URL as crawlers write it: lenient, no exceptions, one reading for all rules."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

import idna

ENCLOSING = " \t\r\n\f\v<>"
"""Stripped from both ends: WARC/1.0 writers put WARC-Target-URI between angle brackets."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_PLAIN_HOST = re.compile(r"[a-z0-9\-._]*")
_RESERVED_OR_UNRESERVED = r"A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]"
_ESCAPABLE = re.compile(rf"%[0-9A-Fa-f]{{2}}|[^{_RESERVED_OR_UNRESERVED}]")
_HOST_DELIMITER = re.compile(r"[:/?@\[\]]")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_DEFAULT_PORTS = frozenset({"80", "443"})


class Address(NamedTuple):
    """A URL taken apart; `host` is lower case, IDNs in punycode, without a root dot."""

    scheme: str
    """Lower case; empty when the URL names none."""
    host: str
    """IPv6 literals keep their brackets; empty when there is none."""
    port: str
    """Without leading zeros; empty when absent or a default of http or https."""
    rest: str
    """Path and query as written; the fragment is gone."""

    @property
    def entry(self) -> str:
        """The form in which listed URLs and pages are compared.

        URL lists write `host/path`; scheme, `www.`, default port, fragment and trailing slashes
        do not count, the case of path and query does.
        """
        host = self.host.removeprefix("www.")
        port = f":{self.port}" if self.port else ""
        return (host + port + self.rest).rstrip("/")


def percent_normal(text: str) -> str:
    """Percent-encoding normal form of a path, query or host (RFC 3986, 6.2.2.1 and 6.2.2.2).

    Escapes of unreserved characters are decoded, the others get upper-case digits, and characters
    that may not stand in a URL are escaped as UTF-8. A stray `%` becomes `%25`. Idempotent.
    """
    return _ESCAPABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    found = match[0]
    if len(found) == 1:
        return "".join(f"%{byte:02X}" for byte in found.encode("utf-8", "surrogatepass"))
    character = chr(int(found[1:], 16))
    return character if character in _UNRESERVED else found.upper()


def split_address(url: str) -> Address:
    """Take a URL apart; never raises, whatever the string holds.

    A missing scheme is accepted (block lists and JSONL rows have none); user names and passwords
    are dropped, as they do not change what was crawled.
    """
    text = url.strip(ENCLOSING).partition("#")[0].rstrip(ENCLOSING)
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    if match:
        text = text[match.end() :].lstrip("/")
    elif text.startswith("//"):
        text = text.lstrip("/")
    end = len(text)
    for delimiter in "/?":
        position = text.find(delimiter, 0, end)
        if position >= 0:
            end = position
    host, port = _host_and_port(text[:end])
    return Address(scheme, host, port, text[end:])


def _host_and_port(authority: str) -> tuple[str, str]:
    authority = authority.rpartition("@")[2].strip()
    if authority.startswith("[") and "]" in authority:
        host, _, tail = authority.partition("]")
        host, separator, port = host + "]", tail[:1], tail[1:]
    else:
        host, separator, port = authority.rpartition(":")
        if ":" in host:
            separator = ""
    if separator != ":" or not (port == "" or (port.isascii() and port.isdigit())):
        host, port = authority, ""
    port = port.lstrip("0")
    return normal_host(host), "" if port in _DEFAULT_PORTS else port


def normal_host(host: str) -> str:
    """Lower case, punycode for international names, no root dot; odd characters are escaped."""
    host = host.lower()
    if _PLAIN_HOST.fullmatch(host) is None:
        if not host.startswith("["):
            # Compatibility mapping can turn full-width characters into URL delimiters.
            host = _HOST_DELIMITER.sub(_escape, host if host.isascii() else _punycode(host))
        host = percent_normal(host).lower()
    return host.rstrip(".")


def _punycode(host: str) -> str:
    # A host with characters that no registry accepts goes on unmapped, label by label.
    with suppress(idna.IDNAError):
        host = idna.uts46_remap(host, std3_rules=False, transitional=False)
    return ".".join(_ascii_label(label) for label in _DOTS.split(host))


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.alabel(label).decode("ascii")
    except UnicodeError:  # the base of idna.IDNAError
        # Emoji names are outside IDNA 2008, but registered and crawled: plain punycode, as
        # browsers do.
        return "xn--" + label.encode("punycode", "replace").decode("ascii")
