"""A dump of 90,000 files makes graphs that Dataflow takes: lists of work lie in files."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.utils.shared import Shared

from pipelines import storage
from pipelines.phases import extract, finish, pack, summarize, tokenize, tokenizer
from pipelines.phases.dedup import DedupWork
from pipelines.recipes import load
from pipelines.sources import Task
from pipelines.summaries import plan_parts
from pipelines.workspace import Marker, Workspace
from schemas.recipe import Dedup, Recipe, Tokenizer
from stages.refine import RefineAssets

TASKS = 90_000
"""A task a file of a Common Crawl dump, as with --segment-mb 1000."""
CLUSTER_FILES = 2_800
"""For 700 million documents."""
GRAPH_LIMIT_BYTES = 10_000_000
"""docs.cloud.google.com/dataflow/docs/request-quotas: 10 MB of graph, 20 MB of request as JSON."""
NAMES = [f"{number:016x}-{0:012d}" for number in range(TASKS)]
KEY = "0" * 64


def tasks() -> list[tuple[Task, str]]:
    path = "gs://commoncrawl/crawl-data/CC-MAIN-2026-01/segments/{}/warc/CC-MAIN-{}.warc.gz"
    return [
        (Task(name, "warc", path.format(n // 900, n), 0, 10**9, 10**9, f"CC-MAIN-{n}.warc.gz"), KEY)
        for n, name in enumerate(NAMES)
    ]


def cluster_files(workspace: Workspace) -> list[str]:
    return [workspace.work("clusters", f"clusters-{n:05d}.parquet") for n in range(CLUSTER_FILES)]


def dedup_work(workspace: Workspace, edge_limit: int) -> DedupWork:
    return DedupWork(
        [extract.task_file(workspace, name, "keys") for name in NAMES],
        700_000_000,
        workspace.work("clusters"),
        workspace.work("dedup"),
        Marker(workspace.work("dedup.done.json")),
        KEY,
        Dedup(),
        edge_limit,
    )


def next_dedup(workspace: Workspace, edge_limit: int, pipeline: beam.Pipeline) -> None:
    job = dedup_work(workspace, edge_limit).next_job()
    assert job is not None
    job.build(pipeline)


def builders(workspace: Workspace, recipe: Recipe) -> dict[str, Callable[[beam.Pipeline], None]]:
    first = extract.ExtractDoFn(workspace, recipe, RefineAssets(None), 1, Shared())
    totals = [pack.ShardRange("train", n, 7_000) for n in range(7_000)]
    lists = workspace.work("lists")
    return {
        "extract": lambda p: extract.build(p, tasks(), first, lists),
        "dedup-clusters": partial(next_dedup, workspace, 10**12),
        "dedup-edges": partial(next_dedup, workspace, 5_000_000),
        "finish": lambda p: finish.build(
            p, NAMES, KEY, cluster_files(workspace), workspace, recipe, 1
        ),
        "tokenizer": lambda p: tokenizer.build(p, Tokenizer(), NAMES, KEY, workspace, 10**12),
        "tokenize": lambda p: tokenize.build(p, NAMES, KEY, workspace, 1, 1),
        "pack": lambda p: pack.build(
            p, NAMES, totals, workspace, "uint16", KEY, frozenset(t.marker_name for t in totals)
        ),
        "summarize": lambda p: summarize.build(
            p, plan_parts(KEY, NAMES, cluster_files(workspace)), workspace, recipe
        ),
    }


PHASES = ("extract", "dedup-clusters", "dedup-edges", "finish", "tokenizer", "tokenize", "pack")
PHASES += ("summarize",)


@pytest.mark.parametrize("phase", PHASES)
def test_a_dump_fits_into_a_job(phase: str, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    pipeline = beam.Pipeline(runner="FnApiRunner")
    builders(workspace, load("fineweb"))[phase](pipeline)
    assert pipeline.to_runner_api().ByteSize() < GRAPH_LIMIT_BYTES / 10
    assert any(tmp_path.rglob("lists/*.json"))


def test_a_round_of_stars_fits_into_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(str(tmp_path))
    count = 150_000
    marker = Marker(workspace.work("dedup", "edges.done.json"))
    counts = {"edges": 10**10, "files": count}
    storage.write_bytes(
        marker.path,
        json.dumps(
            {"key": KEY, "content": {"attempt": "edges-0", "counts": counts}, "files": {}}
        ).encode(),
    )
    whole = storage.list_files

    def list_files(folder: str, suffix: str) -> list[str]:
        if folder.endswith("edges-0"):
            return [f"{folder}/{n:032x}{suffix}" for n in range(count)]
        return whole(folder, suffix)

    monkeypatch.setattr(storage, "list_files", list_files)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    next_dedup(workspace, 5_000_000, pipeline)
    assert pipeline.to_runner_api().ByteSize() < GRAPH_LIMIT_BYTES / 10


def test_a_signed_url_is_not_written_down(tmp_path: Path) -> None:
    url = "https://store.example/a.jsonl?X-Goog-Signature=5ec7e7"
    task = Task("0" * 16, "jsonl", url, 0, 10, 10, "a.jsonl")
    workspace = Workspace(str(tmp_path))
    seen = tmp_path / "seen"
    # In place of the DoFn that would read it, one that tells what it was given.
    tell: Any = Tell(str(seen))
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        extract.build(pipeline, [(task, KEY)], tell, workspace.work("lists"))
    assert seen.read_text() == url
    (listed,) = (tmp_path / ".work" / "lists").iterdir()
    assert "5ec7e7" not in listed.read_text()


class Tell(beam.DoFn):
    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, element: tuple[tuple[str, ...], str]) -> None:
        Path(self._path).write_text(str(element[0][2]))
