"""Comparing blocks and payloads with the digests that the crawler wrote."""

from __future__ import annotations

import base64
import binascii
import hashlib

from stages.warc.headers import Fields

_ALGORITHMS = {"sha1": 20, "sha256": 32, "md5": 16}
"""Digest labels seen in archives, with their length in bytes."""


def _expected(value: str | None) -> tuple[str, bytes] | None:
    """Algorithm and digest of a labelled digest in base32 or hexadecimal; None if unreadable."""
    if not value or ":" not in value:
        return None
    label, _, text = value.strip().partition(":")
    label = label.lower().replace("-", "")
    size = _ALGORITHMS.get(label)
    if size is None:
        return None
    try:
        if len(text) == 2 * size:
            return label, bytes.fromhex(text)
        digest = base64.b32decode(text + "=" * (-len(text) % 8), casefold=True)
    except (ValueError, binascii.Error):
        return None
    return (label, digest) if len(digest) == size else None


def matches(value: str | None, *contents: bytes) -> bool | None:
    """Whether any of the contents has the labelled digest; None when there is none to check."""
    expected = _expected(value)
    if expected is None:
        return None
    label, digest = expected
    return any(
        hashlib.new(label, content, usedforsecurity=False).digest() == digest
        for content in contents
    )


def block_digest_matches(fields: Fields, block: bytes) -> bool | None:
    """Whether the block has the WARC-Block-Digest of its header; None without one."""
    return matches(fields.get("WARC-Block-Digest"), block)
