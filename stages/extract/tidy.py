"""What happens to every text right after extraction, whatever extracted it."""

from __future__ import annotations

import re

from schemas.recipe import Extract
from stages.extract.surrogates import without_surrogates

_LINE_END = re.compile(r"\r\n?")
_URL = re.compile(r"[^\S\n]?(?:\b(?:https?|ftp)://|\bwww\.)[^\s<>\"“”«»|]+", re.IGNORECASE)
# a sentence goes on after a URL: its punctuation and an unopened bracket are not the URL's
_AFTER_URL = re.compile(r"[.,;:!?'’…)\]}]+$")


def tidy(text: str, settings: Extract) -> str:
    """The text as the rules see it.

    In this order: line ends become \\n; NUL is dropped and lone surrogates become U+FFFD (neither
    fits in UTF-8 files); with `remove_urls` URLs go, each with the blank before it; more
    than `max_newlines` newlines in a row, blanks between them included, become `max_newlines`;
    white space at both ends goes. Nothing else changes: no-break spaces, tabs, zero-width
    characters and Unicode forms stay as the extractor left them.

    Two newlines and the removal of URLs are RefinedWeb's (Penedo et al. 2023, arXiv 2306.01116,
    section 3.1).
    """
    text = without_surrogates(_LINE_END.sub("\n", text).replace("\0", ""))
    if settings.remove_urls:
        text = _URL.sub(_keep_punctuation, text)
    newlines = settings.max_newlines
    # possessive: never backtracks over a long run of blanks
    text = re.sub(rf"\n(?:[^\S\n]*+\n){{{newlines},}}", "\n" * newlines, text)
    return text.strip()


def _keep_punctuation(match: re.Match[str]) -> str:
    rest = _AFTER_URL.search(match.group())
    return rest.group() if rest else ""
