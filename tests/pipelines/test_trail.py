"""Documents are found by URL and id in every folder of a run, files without rows included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli.main import run
from pipelines.trail import Trail, find_trail
from pipelines.workspace import Workspace
from schemas.errors import UsageError
from schemas.tables import CLUSTER_V1, DOCUMENT_V1, ERROR_V1, REJECTED_V1, SHARD_DOC_V1

KEPT, TWIN, THIN = "a" * 32, "b" * 32, "c" * 32
HOSTILE = "\x1b]0;owned\x07 \x1b[2J :cat: [bold]\u202etxt"


def place(offset: int) -> dict[str, Any]:
    return {"warc_file": "x.warc.gz", "warc_offset": offset}


def write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def twin(id: str, kept: bool) -> dict[str, Any]:
    return {
        "id": id,
        "cluster_id": KEPT,
        "cluster_size": 2,
        "method": "exact",
        "kept": kept,
        "segment": "s",
        "row": 0,
        **place(0),
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run of three segments; every folder begins with a file without rows."""
    output = tmp_path_factory.mktemp("trail") / "out"
    document = {
        "id": KEPT,
        "url": "https://www.example.org/Kept/?utm_source=x",
        "text": HOSTILE,
        "signals": [("words.count", 3.0)],
        **place(10),
    }
    rejected = [
        {"id": TWIN, "url": "http://example.org/twin", "stage": "dedup", "rule": "dedup.exact"},
        {"id": THIN, "url": "http://example.org/thin", "stage": "quality", "rule": "\x9b2Jrule"},
    ]
    error = {"url": "http://example.org/broken", "stage": "extract", "error": "timeout"}
    error |= {"file": "x.warc.gz", "offset": 99, "length": 5, "detail": HOSTILE}
    unread = {"url": "", "stage": "read", "error": "truncated", "file": "x", "offset": 1}
    tables: dict[str, tuple[list[dict[str, Any]], pa.Schema]] = {
        "documents": ([document], DOCUMENT_V1),
        "rejected": ([row | {"text": "", **place(20)} for row in rejected], REJECTED_V1),
        "errors": ([error, unread], ERROR_V1),
        "clusters": ([twin(KEPT, True), twin(TWIN, False)], CLUSTER_V1),
    }
    for folder, (rows, schema) in tables.items():
        write(output / folder / "0.parquet", [], schema)
        write(output / folder / "1.parquet", rows, schema)
        write(output / folder / "2.parquet", [], schema)
    shard = {"id": KEPT, "split": "train", "shard": 0, "position": 4, "tokens": 7}
    write(output / "shards" / "docs.parquet", [shard], SHARD_DOC_V1)
    (output / "run.json").write_text("{}")
    return Workspace(str(output))


def found(trail: Trail) -> dict[str, int]:
    return {name: len(rows) for name, rows in trail._asdict().items() if rows}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "https://www.example.org/Kept/?utm_source=x",
            {"documents": 1, "clusters": 2, "shards": 1},
        ),
        ("example.org/Kept", {"documents": 1, "clusters": 2, "shards": 1}),
        ("http://example.org/twin", {"rejected": 1, "clusters": 2}),
        ("http://example.org/thin", {"rejected": 1}),
        ("http://example.org/broken", {"errors": 1}),
    ],
)
def test_by_url(finished: Workspace, url: str, expected: dict[str, int]) -> None:
    assert found(find_trail(finished, url, None)) == expected


def test_by_id(finished: Workspace) -> None:
    assert found(find_trail(finished, None, TWIN)) == {"rejected": 1, "clusters": 2}


@pytest.mark.parametrize(("url", "id"), [(None, None), ("a", "b"), ("", None), (None, "")])
def test_wrong_questions(finished: Workspace, url: str | None, id: str | None) -> None:
    with pytest.raises(UsageError):
        find_trail(finished, url, id)


def test_unknown_url(finished: Workspace) -> None:
    with pytest.raises(UsageError, match="has no document with URL"):
        find_trail(finished, "http://example.org/nowhere", None)


@pytest.mark.parametrize("page", ["Kept", "broken", "thin"])
def test_crawled_text_cannot_steer_the_terminal(
    finished: Workspace, page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", finished.output, "--url", f"http://example.org/{page}"]) == 0
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    if page != "thin":
        assert r"\u001b]0;owned\u0007 \u001b[2J :cat: [bold]\u202etxt" in shown
    assert run(["inspect", finished.output, "--url", f"http://example.org/{page}", "--json"]) == 0
    machine = capsys.readouterr().out
    assert not set(machine) & set("\x1b\x07\x9b\u202e")
    trail = json.loads(machine)
    if page == "Kept":
        assert trail["documents"][0]["text"] == HOSTILE


def test_error_lines_are_one_safe_line(
    finished: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", finished.output, "--url", "http://x/\x1b[2J\n:cat:"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b[2J" not in line
    assert r"\u001b[2J\u000a:cat:" in line
