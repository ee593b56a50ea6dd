"""Byte ranges of a file, each the owner of the records that begin inside it."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


def base_name(path: str) -> str:
    """The last part of a local path or of a URL, whichever way its slashes lean."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


class Segment(NamedTuple):
    """`[start, end)` of a file of `size` bytes; owns the records that begin in it."""

    path: str
    start: int
    end: int
    size: int

    @property
    def name(self) -> str:
        """16 hex digits that stay the same when other files join the run or the folder moves.

        Size and end take part, so that a changed file or another `segment_bytes` can never be
        mistaken for this segment. Two files with equal base name and size share their names: a
        plan has to refuse or tell apart such copies.
        """
        key = f"{base_name(self.path)}\0{self.start}\0{self.end}\0{self.size}"
        return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def plan_segments(path: str, size_bytes: int, segment_bytes: int) -> list[Segment]:
    """Cut a file into ranges of `segment_bytes` (the last may be shorter).

    An empty file gets one empty segment, so that somebody reads it and reports it. Raises
    ValueError for a negative size or a segment size below 1.
    """
    if size_bytes < 0 or segment_bytes < 1:
        raise ValueError(f"cannot cut {size_bytes} bytes into segments of {segment_bytes} bytes")
    starts = range(0, max(size_bytes, 1), segment_bytes)
    return [Segment(path, s, min(s + segment_bytes, size_bytes), size_bytes) for s in starts]
