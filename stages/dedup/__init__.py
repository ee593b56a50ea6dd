"""Duplicate keys of a document: URL, exact content, and MinHash bands; and what joins them."""

from __future__ import annotations

from stages.dedup.keys import content_hash, url_key
from stages.dedup.minhash import BandHasher

__all__ = ["BandHasher", "content_hash", "url_key"]
