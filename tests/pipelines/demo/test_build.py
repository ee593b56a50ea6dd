"""The committed sample is what the package builds, and holds what it promises."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.demo import expected_rows, sample_path
from pipelines.demo.build import build, library, pages
from pipelines.demo.layouts import LAYOUTS
from pipelines.demo.sites import SITES

MAX_SAMPLE_BYTES = 1_000_000
WOUNDED = "broken record"


@pytest.fixture(scope="module")
def committed() -> bytes:
    with sample_path() as path:
        return path.read_bytes()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return expected_rows()


@pytest.fixture(scope="module")
def rebuilt() -> tuple[bytes, str]:
    return build()


def _member(content: bytes, offset: int) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(content[offset:])


def _compresses_alike(content: bytes) -> bool:
    first = zlib.decompressobj(wbits=31)
    plain = first.decompress(content)
    length = len(content) - len(first.unused_data)
    compressor = zlib.compressobj(9, zlib.DEFLATED, wbits=31)
    return compressor.compress(plain) + compressor.flush() == content[:length]


def _intact(content: bytes, table: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    for row in table:
        if not row["case"].startswith(WOUNDED):
            yield row["url"], _member(content, row["offset"])


def test_rebuild_gives_the_committed_bytes(
    committed: bytes, rows: list[dict[str, Any]], rebuilt: tuple[bytes, str]
) -> None:
    content, text = rebuilt
    table = [json.loads(line) for line in text.splitlines()]
    if _compresses_alike(committed):
        assert content == committed
        assert table == rows
    # Another zlib compresses otherwise: the records and the table, but for offsets, stay.
    assert list(_intact(content, table)) == list(_intact(committed, rows))
    assert [row | {"offset": 0} for row in table] == [row | {"offset": 0} for row in rows]


def test_building_twice_gives_the_same_bytes(rebuilt: tuple[bytes, str]) -> None:
    assert build() == rebuilt


def test_the_sample_is_small_and_holds_enough(committed: bytes, rows: list[dict[str, Any]]) -> None:
    assert len(committed) < MAX_SAMPLE_BYTES
    assert len(rows) >= 150
    kept = Counter(row["language"] for row in rows if row["end"] == "kept")
    assert {"en", "zh", "de", "fr", "es", "ja", "ru", "pt", "it"} <= kept.keys()
    assert all(kept[language] >= 5 for language in ("zh", "de", "fr", "es", "ja", "ru", "pt", "it"))


def test_each_row_points_at_its_record(committed: bytes, rows: list[dict[str, Any]]) -> None:
    for url, record in _intact(committed, rows):
        head = record.partition(b"\r\n\r\n")[0]
        assert head.startswith(b"WARC/1.0\r\n")
        assert f"WARC-Target-URI: {url}\r\n".encode() in head + b"\r\n"


def test_broken_records_are_broken_and_intact_ones_follow(
    committed: bytes, rows: list[dict[str, Any]]
) -> None:
    broken = {row["case"]: row["offset"] for row in rows if row["case"].startswith(WOUNDED)}
    assert broken.keys() == {
        f"{WOUNDED}: short_block",
        f"{WOUNDED}: cut_member",
        f"{WOUNDED}: flipped_bits",
    }
    last = max(row["offset"] for row in rows if not row["case"].startswith(WOUNDED))
    assert all(offset < last for offset in broken.values())
    for case in ("cut_member", "flipped_bits"):
        with pytest.raises(zlib.error):
            zlib.decompressobj(wbits=31).decompress(committed[broken[f"{WOUNDED}: {case}"] :])
    short = _member(committed, broken[f"{WOUNDED}: short_block"])
    head, _, block = short.partition(b"\r\n\r\n")
    (length,) = (line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    assert len(block) < int(length.partition(b":")[2])


def test_addresses_are_unique_and_clusters_have_several_pages(rows: list[dict[str, Any]]) -> None:
    addresses = Counter(row["url"] for row in rows)
    # A revisit bears the address of the record that it refers to.
    revisits = {row["url"] for row in rows if row["case"] == "revisit"}
    assert {url for url, count in addresses.items() if count > 1} == revisits
    clusters = Counter(row["cluster"] for row in rows if "cluster" in row)
    assert min(clusters.values()) >= 2
    kept = Counter(row["cluster"] for row in rows if "cluster" in row and row["end"] == "kept")
    tied = {row["cluster"] for row in rows if row["end"] == "one_of"}
    assert set(kept) | tied == set(clusters)
    assert not set(kept) & tied
    assert set(kept.values()) == {1}


def test_every_layout_and_every_declaration_occurs() -> None:
    sites = [site for group in SITES.values() for site in group]
    assert {site.layout for site in sites} == set(LAYOUTS)
    assert {site.declared for site in sites} == {
        *("header", "meta", "both", "bom", "wrong_meta", "nowhere")
    }
    assert {"gb18030", "gbk", "shift_jis", "windows-1251", "windows-1252", "iso-8859-1"} <= {
        site.encoding for site in sites
    }


def test_every_file_of_texts_has_its_hosts() -> None:
    shelves = library()
    assert shelves.keys() == SITES.keys()
    slugs = [article.slug for shelf in shelves.values() for article in shelf]
    assert len(slugs) == len(set(slugs))


def test_hosts_are_reserved_names_but_for_the_blocked_ones() -> None:
    for planned in pages():
        host = planned.url.partition("://")[2].partition("/")[0]
        assert host.endswith(".example") or planned.expected.rule in ("url.domain", "url.url")
