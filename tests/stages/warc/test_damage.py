"""Damage of every kind: reported with its place, nothing intact lost, nothing halved."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.page import Damage, Page
from stages.warc import framing

BODIES = [b"<html>one</html>", b"<html>two</html>" * 30, b"<html>three</html>"]


def bodies(events: list) -> list[bytes]:
    return [e.body for e in events if isinstance(e, Page)]


def damages(events: list) -> list[Damage]:
    return [e for e in events if isinstance(e, Damage)]


def errors(events: list) -> list[str]:
    return [e.error for e in damages(events)]


EXPECTED_ERRORS = {
    "truncated_mid_member.warc.gz": ["truncated"],
    "bitflips_one_member.warc.gz": ["corrupt_member"],
    "garbage_between_members.warc.gz": ["garbage"],
    "member_missing_tail_then_ok.warc.gz": ["corrupt_member"],
    "single_gzip_member.warc.gz": [],
    "trailing_zeros.warc.gz": ["zero_padding"],
    "plain_but_named_gz.warc.gz": [],
    "empty.warc.gz": ["empty_file"],
    "content_length_too_short.warc": ["bad_length"],
    "content_length_too_long.warc": ["bad_length"],
    "content_length_not_a_number.warc": ["bad_length"],
    "lf_only_headers.warc": [],
    "html_error_page.warc.gz": ["not_a_warc"],
}
HTML_DELIVERED = {
    "truncated_mid_member.warc.gz": 11,  # what stands before the cut
    "bitflips_one_member.warc.gz": 21,
    "garbage_between_members.warc.gz": 22,  # the garbage stands between members
    "member_missing_tail_then_ok.warc.gz": 21,
    "empty.warc.gz": 0,
    "html_error_page.warc.gz": 0,
    "content_length_too_short.warc": 7,
    "content_length_too_long.warc": 7,
    "content_length_not_a_number.warc": 7,
}
"""Where it differs from all intact_html_in_source."""


def test_shared_broken_files(shared_data: Path, read: Callable) -> None:
    folder = shared_data / "warc_broken"
    cases = json.loads((folder / "expected.json").read_text())
    assert {case["file"] for case in cases} == set(EXPECTED_ERRORS)
    for case in cases:
        name = case["file"]
        data = (folder / name).read_bytes()
        events = read(data, path=name)
        html = [e for e in events if isinstance(e, Page) and "html" in e.content_type]
        assert len(html) == HTML_DELIVERED.get(name, case["intact_html_in_source"]), name
        assert errors(events) == EXPECTED_ERRORS[name], name
        assert all(not page.damage for page in html), name
        for damage in damages(events):
            assert 0 <= damage.offset <= damage.offset + damage.length <= len(data)


def test_broken_files_hold_the_same_pages_as_their_source(
    shared_data: Path, read: Callable
) -> None:
    """What is delivered around damage is byte for byte what the intact file holds."""
    source = (shared_data / "warc_real" / "dolma__sample-0000.warc.gz").read_bytes()
    intact = {p.record_id: p.body for p in read(source) if isinstance(p, Page)}
    for path in sorted((shared_data / "warc_broken").glob("*.warc*")):
        for page in read(path.read_bytes()):
            if isinstance(page, Page):
                assert intact[page.record_id] == page.body, path.name


@pytest.mark.parametrize("gzipped", [True, False])
def test_truncated_at_every_byte(gzipped: bool, read: Callable, write: Callable) -> None:
    """Never half a page: each body is whole or missing, and a missing one leaves a row."""
    data = write(BODIES, gzipped)
    for length in range(1, len(data)):
        events = read(data[:length])
        found = bodies(events)
        assert found == BODIES[: len(found)]
        if len(found) < len(BODIES):
            assert all(
                error in {"truncated", "not_a_warc", "bad_header", "garbage"}
                for error in errors(events)
            )


def test_flipping_any_bit_of_a_member_costs_that_member(read: Callable, write: Callable) -> None:
    data = write(BODIES)
    pages = [e for e in read(data) if isinstance(e, Page)]
    second = pages[1]
    for at in range(second.warc_offset, second.warc_offset + second.warc_length):
        broken = bytearray(data)
        broken[at] ^= 0x04
        found = [e for e in read(bytes(broken)) if isinstance(e, Page)]
        assert (found[0], found[-1]) == (pages[0], pages[2])
        assert all(page.body in BODIES for page in found)
        if len(found) == 2:
            (damage,) = damages(read(bytes(broken)))
            assert (damage.offset, damage.length) == (second.warc_offset, second.warc_length)


def test_garbage_before_the_first_member(read: Callable, write: Callable) -> None:
    data = b"garbage" * 9 + write(BODIES)
    events = read(data)
    assert events[0][:3] == (0, 63, "garbage")
    assert bodies(events) == BODIES


@pytest.mark.parametrize("gzipped", [True, False])
def test_garbage_between_plain_records(gzipped: bool, read: Callable, write: Callable) -> None:
    clean = write(BODIES, gzipped)
    first = next(e for e in read(clean) if isinstance(e, Page))
    at = first.warc_offset + first.warc_length
    events = read(clean[:at] + b"~ noise ~" + clean[at:])
    assert bodies(events) == BODIES
    assert [(d.offset, d.length, d.error) for d in damages(events)] == [(at, 9, "garbage")]


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>503</body></html>",
        gzip.compress(b'{"a": 1}\n') * 50,
        bytes(5000),
        b"WARC",
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd" + b"zstd" * 20,
    ],
)
def test_another_kind_of_file_is_one_event(data: bytes, read: Callable) -> None:
    whole = read(data)
    assert [d[:3] for d in whole] == [(0, len(data), "not_a_warc")]
    assert read(data, range(1, len(data), 7)) == whole


def test_whole_archive_in_one_damaged_member(read: Callable, write: Callable) -> None:
    """Everything before the damage is delivered, what came after it inside is lost."""
    noise = random.Random(8)
    many = [b"<html>%d</html>" % n + noise.randbytes(20_000).hex().encode() for n in range(40)]
    packed = bytearray(gzip.compress(write(many, gzipped=False), mtime=0))
    packed[len(packed) // 2] ^= 0xFF
    events = read(bytes(packed) + write(BODIES))
    found = bodies(events)
    assert found[-3:] == BODIES
    assert 10 < len(found) < 43
    marked = [e.body for e in events if isinstance(e, Page) and e.damage]
    assert set(found) - set(marked) <= {*many, *BODIES}
    last = damages(events)[-1]
    assert last.error == "corrupt_member"
    assert (last.offset, last.length) == (0, len(packed))
    assert "intact records" in last.detail


def test_record_too_large(monkeypatch: pytest.MonkeyPatch, read: Callable, write: Callable) -> None:
    monkeypatch.setattr(framing, "MAX_RECORD_BYTES", 10_000)
    sample = [b"<html>a</html>", bytes(3_000_000), b"<html>b</html>"]
    for gzipped in (True, False):
        data = write(sample, gzipped)
        events = read(data)
        assert bodies(events) == [sample[0], sample[2]]
        assert errors(events) == ["record_too_large"]
        (damage,) = damages(events)
        following = next(e.offset for e in events if getattr(e, "offset", 0) > damage.offset)
        assert damage.offset + damage.length == following
        assert read(data, range(100, len(data), len(data) // 30)) == events


def test_absurd_length_does_not_swallow_the_file(read: Callable, write: Callable) -> None:
    data = write(BODIES, gzipped=False)
    broken = re.sub(rb"(Content-Length: )\d+", rb"\g<1>99999999999", data, count=1)
    events = read(broken)
    assert bodies(events) == BODIES
    assert errors(events) == ["record_too_large"]


@pytest.mark.parametrize("value", [b"", b"-5", b"1e3", b"1\x1d", b"9" * 5000, b"\xb2"])
def test_length_that_is_no_number(value: bytes, read: Callable, write: Callable) -> None:
    data = write(BODIES, gzipped=False)
    broken = re.sub(rb"(Content-Length: )\d+", b"Content-Length: " + value, data, count=1)
    assert bodies(read(broken)) == BODIES
    assert errors(read(broken)) == ["bad_length"]


def test_digest_mismatch_keeps_the_page(read: Callable, write: Callable) -> None:
    """In a plain file a contradicted block digest marks the page; a gzip member's own checksum
    outranks what the crawler computed."""
    plain = write(BODIES, gzipped=False).replace(b"<html>three", b"<html>thr!e")
    pages = [e for e in read(plain) if isinstance(e, Page)]
    assert [p.damage for p in pages] == ["", "", "block_digest_mismatch"]
    record = plain[pages[2].warc_offset :]
    packed = [e for e in read(gzip.compress(record)) if isinstance(e, Page)]
    assert [p.damage for p in packed] == [""]


def test_payload_digest_over_stored_or_decoded_payload(shared_data: Path, read: Callable) -> None:
    for name in ("warcio__example.warc", "warcio__example-iana.org-chunked.warc"):
        pages = read((shared_data / "warc_real" / name).read_bytes())
        assert [p.damage for p in pages if isinstance(p, Page)] == [""] * len(
            [p for p in pages if isinstance(p, Page)]
        )
