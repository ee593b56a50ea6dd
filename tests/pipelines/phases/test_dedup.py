"""Phase 2 against a plain, sequential reading of the same rules."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to

from pipelines import storage
from pipelines.phases.clusters import Deduplicate
from pipelines.phases.dedup import DedupCounts, run_dedup
from pipelines.phases.members import POLICIES, ClusterRow, Key
from schemas.errors import InputError, ReconcileError, UsageError
from schemas.recipe import Dedup, MinHash
from schemas.tables import CLUSTER_V1, KEY_V1
from stages.dedup.components import connected_components

BANDS = 14


def make_key(number: int, **changes: Any) -> Key:
    """A document that is nobody's duplicate, unless `changes` say so."""
    plain = Key(
        id=f"{number:032x}",
        segment=f"segment-{number % 3}",
        row=number // 3,
        warc_file=f"file-{number % 3}.warc.gz",
        warc_offset=1000 * number,
        date="2024-01-01T00:00:00Z",
        n_chars=1000,
        language_score=0.9,
        url_key=number + 1,
        content_hash=f"{number:032x}",
        bands=bands_of(dict.fromkeys(range(BANDS), number)),
    )
    return plain._replace(**changes)


def bands_of(values: dict[int, int]) -> bytes:
    return np.array([values[band] * 32 + band for band in range(BANDS)], "<u8").tobytes()


def random_keys(count: int, seed: int) -> list[Key]:
    """Documents with plenty of duplicates of each kind, chains of all three among them."""
    source = random.Random(seed)
    keys = []
    for number in range(count):
        family = source.randrange(count // 2)
        values = {
            band: family if source.random() < 0.5 else source.getrandbits(50)
            for band in range(BANDS)
        }
        keys.append(
            make_key(
                number,
                date=f"20{source.randrange(10, 25)}-0{source.randrange(1, 9)}-01T00:00:00Z",
                n_chars=source.randrange(100, 110),
                language_score=source.choice([0.5, 0.75, 0.875]),
                url_key=source.choice([0, source.randrange(1, count * 2)]),
                content_hash=f"{source.randrange(count * 2):032x}",
                bands=source.choice([b"", bands_of(values), bands_of(values)]),
            )
        )
    # One record read twice, in two segments.
    return [*keys, keys[7]._replace(segment="again", row=0)]


def plain_dedup(keys: list[Key], settings: Dedup) -> list[ClusterRow]:
    """The rules, one document after the other."""
    stands_for: dict[Key, list[tuple[Key, str]]] = {key: [] for key in keys}
    won: dict[Key, str] = {}

    def order(key: Key) -> tuple[Any, ...]:
        value = POLICIES[settings.keep](key)
        return value, key.id, key.warc_file, key.warc_offset, key.segment, key.row

    def collapse(groups: list[list[Key]], method: str) -> None:
        for group in groups:
            best, *others = sorted(group, key=order)
            if others:
                won[best] = method
            for other in others:
                stands_for[best] += [(other, method), *stands_for.pop(other)]

    def grouped(key_of: Callable[[Key], Any]) -> list[list[Key]]:
        groups = defaultdict(list)
        for key in stands_for:
            groups[key_of(key)].append(key)
        groups.pop(0, None)
        return list(groups.values())

    if settings.url:
        collapse(grouped(lambda key: key.url_key), "url")
    if settings.exact:
        collapse(grouped(lambda key: key.content_hash), "exact")
    if settings.minhash:
        buckets: dict[Any, Key] = {}
        edges = []
        for key in stands_for:
            for band in enumerate(np.frombuffer(key.bands, "<u8").tolist()):
                edges.append((key, buckets.setdefault(band, key)))
        root = connected_components(edges)
        collapse(grouped(lambda key: root.get(key, key)), "minhash")
    rows = []
    for best, others in stands_for.items():
        if others:
            members = [(best, won[best]), *others]
            rows += [
                ClusterRow(
                    id=key.id,
                    cluster_id=best.id,
                    cluster_size=len(members),
                    method=method,
                    kept=key is best,
                    segment=key.segment,
                    row=key.row,
                    warc_file=key.warc_file,
                    warc_offset=key.warc_offset,
                )
                for key, method in members
            ]
    return rows


def in_pipeline(keys: list[Key], settings: Dedup) -> list[ClusterRow]:
    expected = [tuple(row) for row in plain_dedup(keys, settings)]
    with Pipeline(runner="FnApiRunner") as pipeline:
        rows = (
            pipeline
            | beam.Create([tuple(key) for key in keys])
            | beam.Reshuffle()
            | Deduplicate(settings)
        )
        assert_that(rows, equal_to(expected))
    return [ClusterRow(*row) for row in expected]


@pytest.mark.parametrize("keep", sorted(POLICIES))
def test_transform_equals_the_plain_rules(keep: Any) -> None:
    rows = in_pipeline(random_keys(150, seed=3), Dedup(keep=keep))
    assert {row.method for row in rows if not row.kept} == {"url", "exact", "minhash"}
    assert {row.method for row in rows if row.kept} == {"url", "exact", "minhash"}


@pytest.mark.parametrize(
    "settings",
    [
        Dedup(url=False),
        Dedup(exact=False, minhash=None),
        Dedup(url=False, exact=False, minhash=None),
    ],
)
def test_steps_that_are_off(settings: Dedup) -> None:
    in_pipeline(random_keys(80, seed=5), settings)


def test_one_document_and_none() -> None:
    assert in_pipeline([make_key(1)], Dedup()) == []
    assert in_pipeline([], Dedup()) == []


def test_a_chain_through_all_steps_is_one_cluster() -> None:
    keys = [
        make_key(1, url_key=50, n_chars=1),
        make_key(2, url_key=50, n_chars=2, content_hash="ab" * 16),
        make_key(3, n_chars=3, content_hash="ab" * 16),
        make_key(4, n_chars=4, bands=make_key(3).bands),
        make_key(5),
    ]
    rows = {row.id: row for row in in_pipeline(keys, Dedup())}
    assert [rows[key.id].method for key in keys[:4]] == ["url", "exact", "minhash", "minhash"]
    assert [rows[key.id].kept for key in keys[:4]] == [False, False, False, True]
    assert {row.cluster_id for row in rows.values()} == {keys[3].id}
    assert {row.cluster_size for row in rows.values()} == {4}
    assert keys[4].id not in rows


def test_policies() -> None:
    keys = {
        "longest": make_key(4, n_chars=9, date="2020", language_score=0.1),
        "newest": make_key(3, n_chars=8, date="2024-05-01T10:00:00.5Z", language_score=0.2),
        "best_score": make_key(2, n_chars=7, date="May 2026", language_score=0.99),
        "least_id": make_key(1, n_chars=6, date="", language_score=float("nan")),
    }
    for keep, winner in keys.items():
        same = [key._replace(url_key=1) for key in keys.values()]
        rows = plain_dedup(same, Dedup(keep=keep))  # type: ignore[arg-type]
        assert [row.id for row in rows if row.kept] == [winner.id]


def test_equal_documents_are_told_apart_by_file_and_offset() -> None:
    twins = [
        make_key(1, warc_file="b.warc.gz", warc_offset=1, segment="x", row=0),
        make_key(1, warc_file="a.warc.gz", warc_offset=9, segment="y", row=0),
        make_key(1, warc_file="a.warc.gz", warc_offset=3, segment="z", row=0),
    ]
    rows = in_pipeline(twins, Dedup())
    assert [(row.segment, row.cluster_size) for row in rows if row.kept] == [("z", 3)]


def write_keys(folder: Path, *files: list[Key]) -> list[str]:
    paths = []
    for number, keys in enumerate(files):
        table = pa.Table.from_pylist([key._asdict() for key in keys], schema=KEY_V1)
        paths.append(str(folder / f"{number}.keys.parquet"))
        storage.write_table(paths[-1], table)
    return paths


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_ways_and_orders_give_the_same_files(tmp_path: Path) -> None:
    keys = random_keys(400, seed=11)
    settings = Dedup()
    rows = plain_dedup(keys, settings)
    dropped = [row.method for row in rows if not row.kept]
    expected = DedupCounts(
        len(keys),
        len(keys) - len(dropped),
        {method: dropped.count(method) for method in ("url", "exact", "minhash")},
    )
    shuffled = random.Random(1).sample(keys, len(keys))
    one = write_keys(tmp_path / "one", keys)
    many = write_keys(tmp_path / "many", shuffled[:50], [], shuffled[50:90], shuffled[90:])
    bound = len(keys) * BANDS
    ways = {"pipeline": (one, bound), "process": (many, bound - 1), "rounds": (many, 10)}
    for name, (files, limit) in ways.items():
        target = tmp_path / name
        counts = run_dedup(files, str(target), settings, None, edge_limit=limit)
        assert counts == expected
        assert content(target) == content(tmp_path / "pipeline")
    table = storage.read_table(str(tmp_path / "rounds" / "clusters-00000.parquet"))
    assert table.schema.equals(CLUSTER_V1)
    assert {tuple(row.values()) for row in table.to_pylist()} == {
        tuple(row._asdict()[name] for name in CLUSTER_V1.names) for row in rows
    }


def test_files_of_an_earlier_call_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "clusters"
    target.mkdir()
    (target / "clusters-00007.parquet").write_bytes(b"old")
    files = write_keys(tmp_path, [make_key(1), make_key(2, url_key=2)])
    counts = run_dedup(files, str(target), Dedup(), None)
    assert counts == DedupCounts(2, 1, {"url": 1, "exact": 0, "minhash": 0})
    assert [path.name for path in target.iterdir()] == ["clusters-00000.parquet"]


@pytest.mark.parametrize("limit", [5_000_000, -1])
def test_no_documents_give_an_empty_file(tmp_path: Path, limit: int) -> None:
    files = write_keys(tmp_path, []) if limit < 0 else []
    counts = run_dedup(files, str(tmp_path / "out"), Dedup(), None, edge_limit=limit)
    assert counts == DedupCounts(0, 0, {"url": 0, "exact": 0, "minhash": 0})
    table = storage.read_table(str(tmp_path / "out" / "clusters-00000.parquet"))
    assert table.num_rows == 0
    assert table.schema.equals(CLUSTER_V1)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    files = write_keys(tmp_path, [make_key(1), make_key(2)])
    with pytest.raises(UsageError, match="allow_low_recall"):
        run_dedup(files, str(tmp_path / "t"), Dedup(minhash=MinHash(bands=8, rows=14)), None)
    with pytest.raises(InputError, match=r"14 MinHash bands, the recipe 20"):
        run_dedup(files, str(tmp_path / "t"), Dedup(minhash=MinHash(bands=20)), None)
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="not a Parquet file"):
        run_dedup([str(tmp_path / "bad.parquet")], str(tmp_path / "t"), Dedup(), None)
    storage.write_table(str(tmp_path / "other.parquet"), pa.table({"id": ["1"]}))
    with pytest.raises(InputError, match="has no column"):
        run_dedup([str(tmp_path / "other.parquet")], str(tmp_path / "t"), Dedup(), None)


def test_lost_documents_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_keys(tmp_path, [make_key(1), make_key(2)])
    monkeypatch.setattr("pipelines.phases.dedup.count_rows", lambda path: 3)
    with pytest.raises(ReconcileError, match="read 2 documents, the key files hold 3"):
        run_dedup(files, str(tmp_path / "t"), Dedup(), None)


HOT_RUN = r"""
import re, resource, sys
from pathlib import Path
from pipelines.phases.dedup import run_dedup
from schemas.recipe import Dedup
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
counts = run_dedup(sys.argv[1:2], sys.argv[2], Dedup(), None)
# Not ru_maxrss: a new program inherits its parent's (Linux, fs/exec.c), here that of all tests.
peak_kb = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)
print(*counts[:2], int(peak_kb) // 1024)
"""


@pytest.mark.slow
def test_a_hot_key_stays_within_memory(tmp_path: Path, repository: Path) -> None:
    hot = [make_key(number, url_key=1 if number % 2 else 0) for number in range(50_000)]
    hot = [key._replace(content_hash="00" * 16) for key in hot]
    files = write_keys(tmp_path, hot)
    done = subprocess.run(
        [sys.executable, "-c", HOT_RUN, *files, str(tmp_path / "out")],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    documents, kept, peak_mb = map(int, done.stdout.split())
    assert (documents, kept) == (50_000, 1)
    assert peak_mb < 1000
