"""Inputs cut into tasks: every page once, the first N exactly, each file under its own name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import sources, storage
from pipelines.sources import Task, first_pages, read_task, tasks_of
from pipelines.storage import InputFile, match_inputs
from schemas.errors import UsageError
from schemas.page import Damage, Page, Skipped

ROWS = 30


def record(number: int) -> bytes:
    body = f"page {number}".encode()
    head = (
        "WARC/1.0\r\nWARC-Type: resource\r\n"
        f"WARC-Target-URI: https://e.org/{number}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:{number}>\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def write(path: Path) -> Path:
    """ROWS pages in the format that the name says; one.warc.gz is a single gzip member."""
    rows = [{"text": f"page {n}", "url": f"https://e.org/{n}"} for n in range(ROWS)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=20)
    elif path.name.startswith("one"):
        path.write_bytes(gzip.compress(b"".join(map(record, range(ROWS)))))
    elif path.suffixes[0] == ".warc":
        path.write_bytes(b"".join(gzip.compress(record(n)) for n in range(ROWS)))
    else:
        path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


NAMES = ["many.warc.gz", "one.warc.gz", "a.jsonl", "a.jsonl.gz", "a.parquet"]


def plan(*paths: Path, segment_bytes: int = 1000) -> list[Task]:
    files = match_inputs(map(str, paths))
    return [task for file in files for task in tasks_of(file, segment_bytes)]


def urls(tasks: list[Task]) -> list[str]:
    return [e.url for task in tasks for e in read_task(task) if isinstance(e, Page)]


@pytest.mark.parametrize("name", NAMES)
def test_every_page_once(tmp_path: Path, name: str) -> None:
    tasks = plan(write(tmp_path / name))
    assert urls(tasks) == [f"https://e.org/{n}" for n in range(ROWS)]
    assert len({task.name for task in tasks}) == len(tasks)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [1, 7, 20, 21, ROWS, ROWS + 9])
def test_the_first_pages_are_exactly_so_many(tmp_path: Path, name: str, limit: int) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    tasks = plan(*(write(folder / name) for folder in folders))
    limited = list(first_pages(tasks, limit))
    assert urls(limited) == urls(tasks)[:limit]
    assert len(limited) <= len(tasks)


def test_the_limit_reads_no_further_than_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_on = 0
    plain = sources.read_segment

    def counted(*arguments: object) -> Iterator[Page | Skipped | Damage]:
        nonlocal handed_on
        for event in plain(*arguments):  # type: ignore[arg-type]
            handed_on += 1
            yield event

    tasks = plan(write(tmp_path / "one.warc.gz"))
    monkeypatch.setattr(sources, "read_segment", counted)
    limited = list(first_pages(tasks, 3))
    assert handed_on == 3
    assert len(urls(limited)) == 3
    assert handed_on == 6


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "x.warc.gz" for folder in ("d1", "d2")]
    for path in paths:
        path.parent.mkdir()
        write(path.parent / "many.warc.gz").rename(path)
    tasks = plan(*paths)
    names = {e.warc_file for task in tasks for e in read_task(task) if isinstance(e, Page)}
    assert names == {"d1/x.warc.gz", "d2/x.warc.gz"} == {task.label for task in tasks}


def test_spellings_of_a_path_have_one_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl")
    monkeypatch.chdir(tmp_path)
    relative = plan(Path("a.jsonl"))
    assert [t._replace(path="") for t in relative] == [t._replace(path="") for t in plan(path)]
    assert relative[0].path == "a.jsonl"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.warc.zst", "gzip"),
        ("a.jsonl.bz2", "gzip"),
        ("A.JSONL.XZ", "gzip"),
        ("a.tar.gz", "unpack"),
        ("a.zip", "unpack"),
    ],
)
def test_a_packing_that_is_not_read_says_what_to_do(name: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        tasks_of(InputFile(name, 10, ""), 100)


def test_a_damaged_jsonl_gz_keeps_what_comes_before(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(bytes(data))
    *pages, last = [event for task in plan(path) for event in read_task(task)]
    assert len(pages) == ROWS
    assert isinstance(last, Damage)
    assert last.error == "corrupt_gzip"
    assert last.offset > 0


@pytest.mark.parametrize("members", [1, 3])
def test_a_large_jsonl_gz_has_tasks_of_bounded_text(tmp_path: Path, members: int) -> None:
    lines = [json.dumps({"text": f"{n * 7919**3} page {n**5}"}).encode() for n in range(3000)]
    text = b"".join(line + b"\n" for line in lines)
    path = tmp_path / "a.jsonl.gz"
    cut = len(text) // members + 1
    pieces = [text[n : n + cut] for n in range(0, len(text), cut)]
    path.write_bytes(b"".join(map(gzip.compress, pieces)))
    tasks = plan(path, segment_bytes=5000)
    pages = [[e for e in read_task(task) if isinstance(e, Page)] for task in tasks]
    assert sum(map(len, pages)) == len(lines)
    sizes = [max(p.warc_offset for p in part) - part[0].warc_offset for part in pages if part]
    assert len(sizes) >= len(text) // 20_000
    assert max(sizes) <= 20_000


def test_storage_names_reach_the_tasks(tmp_path: Path) -> None:
    (file,) = storage.match_inputs([str(write(tmp_path / "a.jsonl"))])
    assert {task.label for task in tasks_of(file, 100)} == {"a.jsonl"}
