"""Tasks merged before packing: the same shards from fewer references."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest

from pipelines import storage
from pipelines.phases import pack
from pipelines.phases.merge import merge_groups, run_name
from pipelines.phases.tokenize import TOKEN_ROW, index_file, token_file
from pipelines.workspace import DONE_SUFFIX, Workspace, read_markers

TASKS = [f"{number:016x}-000000000000" for number in range(12)]
KEY = "k"


def write_tokens(workspace: Workspace, name: str, documents: int) -> Counter[str]:
    """A task as tokenize leaves it; returns tokens by split."""
    chosen = random.Random(name)
    rows = [
        {
            "split": "validation" if chosen.random() < 0.2 else "train",
            "key": chosen.getrandbits(64),
            "id": f"{chosen.getrandbits(128):032x}",
            "warc_file": "a.warc.gz",
            "warc_offset": number,
            "tokens": chosen.randint(1, 30),
            "url": f"https://a.example/{name}/{number}",
            "language": "en",
            "source": "warc",
        }
        for number in range(documents)
    ]
    rows.sort(key=lambda r: (r["split"], r["key"], r["id"]))
    start, tokens = 0, Counter[str]()
    for row in rows:
        row["start"] = start
        start += row["tokens"]
        tokens[row["split"]] += row["tokens"]
    values = np.frombuffer(chosen.randbytes(start * 2), dtype="uint16")
    storage.write_bytes(token_file(workspace, name), values.tobytes())
    storage.write_table(index_file(workspace, name), pa.Table.from_pylist(rows, schema=TOKEN_ROW))
    return tokens


def packed(folder: Path, few_references: int) -> Workspace:
    """All tasks packed; the last one is empty."""
    workspace = Workspace(str(folder))
    tokens: Counter[str] = Counter()
    for number, name in enumerate(TASKS):
        tokens += write_tokens(workspace, name, 25 if number < 11 else 0)
    shards = pack.plan_shards(tokens, 1500)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        pack.build(pipeline, TASKS, shards, workspace, "uint16", KEY, frozenset(), few_references)
    keys = {shard.marker_name: KEY for shard in shards}
    assert len(read_markers(workspace.work(pack.FOLDER), keys)) == len(shards) > 2
    return workspace


def files_of(workspace: Workspace) -> dict[str, bytes]:
    root = Path(workspace.output)
    paths = [*root.glob("shards/**/*.*"), *root.glob(".work/pack/*.docs.parquet")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def runs_of(workspace: Workspace) -> list[Path]:
    return sorted(Path(workspace.work("tokens")).glob("merged-*" + DONE_SUFFIX))


def test_shards_are_the_same_bytes_with_and_without_merging(tmp_path: Path) -> None:
    plain, merged = packed(tmp_path / "plain", 10**6), packed(tmp_path / "merged", 0)
    assert not runs_of(plain)
    assert 1 < len(runs_of(merged)) < len(TASKS)
    assert files_of(plain) == files_of(merged)
    assert len(files_of(plain)) > 6


def test_runs_that_are_there_are_taken_over(tmp_path: Path) -> None:
    merged = packed(tmp_path, 0)
    before = [(path, path.stat().st_mtime_ns) for path in runs_of(merged)]
    shards = files_of(merged)
    packed(tmp_path, 0)
    assert [(path, path.stat().st_mtime_ns) for path in runs_of(merged)] == before
    assert files_of(merged) == shards


@pytest.mark.parametrize(
    ("tasks", "shards", "few", "groups"),
    [
        (12, 4, 48, []),
        (12, 4, 47, [3, 3, 3, 3]),
        (13, 4, 0, [4, 4, 4, 1]),
        (7, 4, 0, []),
        (3, 1, 0, [3]),
    ],
)
def test_groups_hold_about_a_shard_each(
    tasks: int, shards: int, few: int, groups: list[int]
) -> None:
    names = TASKS[: min(tasks, 12)] + [f"more-{n}" for n in range(tasks - 12)]
    made = merge_groups(names, shards, few)
    assert [len(group) for group in made] == groups
    assert not made or sorted(itertools.chain(*made)) == sorted(names)


def test_other_tasks_are_another_run() -> None:
    assert run_name(("a", "b")) == run_name(("a", "b")) != run_name(("a",))
