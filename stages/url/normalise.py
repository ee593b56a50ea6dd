"""The normal form of a URL that URL deduplication compares, and the host it belongs to.

C4 (TFDS c4_utils.py, normalize_url) strips the scheme and `www.`, cuts the query when it begins
with utm_, ref or feed, and strips trailing slashes. The form here does the same with two repairs:
single tracking parameters are removed wherever they stand (C4 cuts all that follows them and
keeps them when another parameter comes first), and `ref` and `feed` must be the whole name (C4
also cuts `?reference=7`). On top come RFC 3986 6.2.2 (case, percent-encoding, dot segments) and
the parameter order of the Internet Archive's SURT keys, on which Common Crawl's index is built.
"""

from __future__ import annotations

import re

from stages.url.address import percent_normal, split_address

TRACKING_PREFIXES = ("utm_",)
_C4_NAMES = ("ref", "feed")
_CLICK_NAMES = (
    *("gclid", "gclsrc", "dclid", "gbraid", "wbraid", "_ga", "_gl"),  # Google
    *("fbclid", "igsh", "igshid"),  # Facebook, Instagram
    *("msclkid", "yclid", "ttclid", "li_fat_id"),  # Microsoft, Yandex, TikTok, LinkedIn
    *("twclid", "ref_src", "ref_url"),  # X
)
_MAIL_NAMES = ("mc_cid", "mc_eid", "_hsenc", "_hsmi", "mkt_tok")  # Mailchimp, HubSpot, Marketo
_SESSION_NAMES = ("phpsessid", "jsessionid")  # left out of SURT keys as well
TRACKING_NAMES = frozenset((*_C4_NAMES, *_CLICK_NAMES, *_MAIL_NAMES, *_SESSION_NAMES))
"""Query parameters that name where a visitor came from, never what the page is."""

_PATH_SESSION = re.compile(r";jsessionid=[^/?]*", re.IGNORECASE)


def normalise(url: str) -> str:
    """The key under which two URLs count as one page, such as `example.com/a?id=3`.

    Scheme (http and https), `www.`, user names, ports 80 and 443, fragment, tracking parameters,
    session ids and trailing slashes go; the host is lower case and punycode; escapes are in
    normal form; dot segments are resolved; parameters are sorted by name, those of one name in
    their order. Path and query keep their case. Idempotent; never raises; an empty URL stays
    empty.
    """
    address = split_address(url)
    path, _, query = percent_normal(address.rest).partition("?")
    path, query = _normal_path(path), _normal_query(query)
    if not address.host and path:
        path = "/" + path.lstrip("/")
    tail = f"{path}?{query}" if query else path
    if not address.host:
        return tail
    host = _without_www(address.host)
    if address.port:
        host = f"{host}:{address.port}"
    scheme = "" if address.scheme in ("", "http", "https") else address.scheme + "://"
    return scheme + host + tail


def host_of(url: str) -> str:
    """The host of a URL in lower case and punycode, without port and user; empty without one."""
    return split_address(url).host


def _without_www(host: str) -> str:
    while host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    return host


def _normal_path(path: str) -> str:
    if ";" in path:
        path = _PATH_SESSION.sub("", path)
    if "/." in path:
        path = _without_dot_segments(path)
    return path.rstrip("/")


def _without_dot_segments(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def _normal_query(query: str) -> str:
    if not query:
        return ""
    named = [(item.partition("=")[0], item) for item in query.split("&") if item]
    kept = [(name, item) for name, item in named if not _is_tracking(name.lower())]
    kept.sort(key=lambda pair: pair[0])
    return "&".join(item for _, item in kept)


def _is_tracking(name: str) -> bool:
    return name in TRACKING_NAMES or name.startswith(TRACKING_PREFIXES)
