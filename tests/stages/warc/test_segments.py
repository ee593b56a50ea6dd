"""Ranges and their names, and what `sniff` calls a file."""

from __future__ import annotations

import gzip
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.warc import Segment, plan_segments, sniff

gzipped = partial(gzip.compress, mtime=0)
"""The same bytes at any time: they are in the names of tests, which all processes must agree on."""


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_segments_tile_the_file(size: int, segment_bytes: int) -> None:
    if size // segment_bytes > 5000:
        segment_bytes = size // 5000 + 1
    segments = plan_segments("a.warc.gz", size, segment_bytes)
    assert segments[0].start == 0
    assert segments[-1].end == size
    assert all(a.end == b.start for a, b in zip(segments, segments[1:], strict=False))
    assert len({s.name for s in segments}) == len(segments)


def test_empty_file_has_one_segment() -> None:
    assert plan_segments("a", 0, 10) == [Segment("a", 0, 0, 0)]


@pytest.mark.parametrize(("size", "segment_bytes"), [(-1, 5), (5, 0)])
def test_impossible_plans(size: int, segment_bytes: int) -> None:
    with pytest.raises(ValueError, match="cannot cut"):
        plan_segments("a", size, segment_bytes)


def test_name_depends_on_base_name_and_range_only() -> None:
    name = Segment("/data/a.warc.gz", 0, 10, 20).name
    assert name == Segment("https://host/x/a.warc.gz", 0, 10, 20).name
    assert name == Segment("C:\\data\\a.warc.gz", 0, 10, 20).name
    others = [
        Segment("/data/b.warc.gz", 0, 10, 20),
        Segment("/data/a.warc.gz", 10, 20, 20),
        Segment("/data/a.warc.gz", 0, 20, 20),
        Segment("/data/a.warc.gz", 0, 10, 21),
    ]
    assert name not in {other.name for other in others}


WARC = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
ARC = b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain 3\nabc\n"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"),
        (WARC, "warc"),
        (ARC, "arc"),
        (gzipped(WARC), "warc.gz"),
        (gzipped(ARC), "arc.gz"),
        (gzipped(WARC)[:60], "warc.gz"),
        (gzipped(b"{}"), "gzip"),
        (b"\x1f\x8b\x08\xff\xff", "gzip"),
        (b"<!DOCTYPE html><html>", "markup"),
        (b"PAR1\x15\x04", "parquet"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"\0\0\0\0", "unknown"),
    ],
)
def test_sniff(head: bytes, kind: str) -> None:
    assert sniff(head) == kind
