"""The union of the events of all segments is the single reading, wherever the cuts fall."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.page import Page
from stages.warc import Segment, read_segment

BODIES = [
    b"<html>one</html>",
    b"",
    # A page about the format, a page that quotes a gzip header, one of nothing but newlines.
    b"<pre>\n\nWARC/1.0\r\nWARC-Type: response\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n</pre>",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03 is how gzip begins",
    b"\r\n" * 50,
    b"<html>" + random.Random(5).randbytes(5000) + b"</html>",
    b"<html>last</html>",
]
CUTS = st.lists(st.integers(1, 20_000), max_size=12)
FIXTURES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    derandomize=True,
    max_examples=150,
)


@FIXTURES
@given(cuts=CUTS, gzipped=st.booleans())
def test_any_cuts(cuts: list[int], gzipped: bool, read: Callable, write: Callable) -> None:
    data = write(BODIES, gzipped)
    whole = read(data)
    assert [e.body for e in whole if isinstance(e, Page)] == BODIES
    assert read(data, cuts) == whole


@FIXTURES
@given(
    cuts=CUTS,
    gzipped=st.booleans(),
    at=st.integers(0, 6000),
    length=st.integers(1, 400),
    damage=st.sampled_from(["zero", "delete", "flip", "garbage", "cut"]),
)
def test_any_cuts_with_damage(
    cuts: list[int],
    gzipped: bool,
    at: int,
    length: int,
    damage: str,
    read: Callable,
    write: Callable,
) -> None:
    data = write(BODIES, gzipped)
    at = min(at, len(data) - 1)
    replacement = {
        "zero": data[:at] + bytes(length) + data[at + length :],
        "delete": data[:at] + data[at + length :],
        "flip": data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :],
        "garbage": data[:at] + b"\xa5 garbage " * 40 + data[at:],
        "cut": data[: at + 1],
    }[damage]
    whole = read(replacement)
    offsets = [e.warc_offset if isinstance(e, Page) else e.offset for e in whole]
    assert offsets == sorted(offsets)
    assert read(replacement, cuts) == whole
    assert read(replacement, [o for o in offsets if o] + [o + 1 for o in offsets]) == whole


def test_cut_at_every_byte(read: Callable, write: Callable) -> None:
    for gzipped in (True, False):
        data = write([b"<html>a</html>", b"<html>b</html>"], gzipped)
        whole = read(data)
        for cut in range(1, len(data)):
            assert read(data, [cut]) == whole


def test_block_wise_compression_is_one_stream(read: Callable, write: Callable) -> None:
    """bgzip and its kin end members anywhere, in the middle of records and of headers."""
    plain = write(BODIES, gzipped=False)
    data = b"".join(gzip.compress(plain[i : i + 700], mtime=0) for i in range(0, len(plain), 700))
    whole = read(data)
    assert [e.body for e in whole if isinstance(e, Page)] == BODIES
    assert read(data, range(500, len(data), 500)) == whole


def test_pages_of_megabytes(read: Callable, write: Callable) -> None:
    """Larger than what is inflated at once, hard and easy to compress."""
    noise = random.Random(2)
    large = [bytes(3_000_000), noise.randbytes(2_500_000), b"<html>small</html>"]
    for gzipped in (True, False):
        data = write(large, gzipped)
        whole = read(data)
        assert [e.body for e in whole if isinstance(e, Page)] == large
        assert len(whole) == 7
        assert read(data, range(0, len(data), len(data) // 9)) == whole


def test_arc_records_after_binary_bodies(read: Callable) -> None:
    """ARC headers may follow a body without a newline, and quote URLs in their URL."""
    body = random.Random(1).randbytes(400).replace(b"\n", b"\r") + b"\xff"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\n\r\n"
    urls = [f"http://a.org/http://b.org/{i} x y" for i in range(6)]
    data = b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain 3\nabc\n"
    for url in urls:
        line = f"{url} 1.2.3.4 20080430204825 image/gif {len(head + body)}\n"
        data += line.encode() + head + body
    whole = read(data)
    assert [e.url for e in whole if isinstance(e, Page)] == urls
    for cut in range(1, len(data), 7):
        assert read(data, [cut]) == whole


class ForwardOnly(io.BytesIO):
    """Counts what a remote handle would have to do."""

    seeks = reads = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.seeks += 1
        return super().seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)


def test_reads_forward_in_blocks(write: Callable) -> None:
    noise = random.Random(3)
    data = write([noise.randbytes(200_000) for _ in range(40)])
    handle = ForwardOnly(data)
    middle = len(data) // 2
    pages = list(read_segment(handle, Segment("x", middle, len(data), len(data))))
    assert sum(isinstance(p, Page) for p in pages) >= 19
    assert handle.seeks <= 3
    assert handle.reads <= 10


def test_short_reads_are_not_the_end(read: Callable, write: Callable) -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 1, 313))

    data = write(BODIES)
    segment = Segment("x/test.warc.gz", 0, len(data), len(data))
    assert list(read_segment(Dribble(data), segment)) == read(data)


@pytest.mark.parametrize("folder", ["warc_real", "warc_broken"])
def test_shared_archives(folder: str, shared_data: Path, read: Callable) -> None:
    choose = random.Random(11)
    paths = [p for p in sorted((shared_data / folder).iterdir()) if p.suffix != ".json"]
    assert len(paths) >= 13
    for path in paths:
        data = path.read_bytes()
        whole = read(data, path=str(path))
        starts = [e.warc_offset if isinstance(e, Page) else e.offset for e in whole]
        near = [choose.choice(starts) + choose.choice([-1, 0, 1]) for _ in range(6)]
        anywhere = [choose.randrange(len(data) + 1) for _ in range(6)]
        assert read(data, near + anywhere, path=str(path)) == whole, path.name
