"""Keys for exact duplicates: the normalised URL and the normalised content."""

from __future__ import annotations

import unicodedata

import xxhash

from stages.url import normalise

NO_URL = 0
"""The key of a document without a URL: such documents are never URL duplicates."""


def content_hash(text: str) -> str:
    """32 hex digits (xxh3_128) over the text in NFC with every run of whitespace as one space.

    Two servings of one page often differ in line ends, indentation or in how an accent is
    composed; none of that is content. Case, punctuation and digits are kept: texts that differ
    in those are near duplicates, which is MinHash's work. The hash is not cryptographic.
    """
    normal = " ".join(unicodedata.normalize("NFC", text).split())
    # Lone surrogates are legal in a Python string (JSON "\\ud800") and must not stop a run.
    return xxhash.xxh3_128_hexdigest(normal.encode("utf-8", "surrogatepass"))


def url_key(url: str) -> int:
    """Unsigned 64-bit xxh3_64 of the normalised URL; NO_URL (0) when there is none."""
    normal = normalise(url) if url else ""
    if not normal:
        return NO_URL
    key = xxhash.xxh3_64_intdigest(normal.encode("utf-8", "surrogatepass"))
    return key if key != NO_URL else 1
