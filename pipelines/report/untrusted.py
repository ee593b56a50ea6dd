"""What crawled text may do on a page: be read, and nothing else.

Escaping is left to Jinja and Markup.format, which escape whatever is not markup of our own; here
are the two things that escaping does not do.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from markupsafe import Markup

URL_SHOWN_CHARACTERS = 120
URL_LINKED_CHARACTERS = 2000

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Controls that HTML forbids, and the bidirectional overrides that reorder what stands around."""
_NOT_IN_A_URL = re.compile(r"[\s<>\"'`\\^{|}]")


def clean(text: str) -> str:
    """Replace characters that are no text by U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)


def shorten(text: str, characters: int) -> str:
    """Cut to this many characters, with an ellipsis where something is missing."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def link(url: str) -> Markup:
    """An anchor for a plain http or https URL; anything else is only text."""
    shown = clean(shorten(url, URL_SHOWN_CHARACTERS))
    if not _linkable(url):
        return Markup("{}").format(shown)
    return Markup('<a href="{}" rel="noopener noreferrer nofollow">{}</a>').format(url, shown)


def _linkable(url: str) -> bool:
    if len(url) > URL_LINKED_CHARACTERS or _UNPRINTABLE.search(url) or _NOT_IN_A_URL.search(url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)
