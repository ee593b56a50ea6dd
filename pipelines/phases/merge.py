"""Phase 4, between tokens and shards: the tokens of many tasks merged into few sorted runs.

Every shard takes a range of every task. That is tasks times shards references, each of which reads
an index and a range of tokens: 450 million for a crawl cut in 90,000 tasks and packed in 5,000
shards. Tasks merged by as many as hold a shard's tokens leave as many runs as there are shards; for
that all tokens are read and written once more.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import pyarrow as pa

from pipelines import storage
from pipelines.phases.token_rows import Dtype, TokenRow, load_rows, read_index
from pipelines.phases.tokenize import FOLDER, TOKEN_ROW, index_file, token_file
from pipelines.same_versions import Versioned
from pipelines.workspace import DONE_SUFFIX, Marker, Workspace

FEW_REFERENCES = 200_000
"""References up to which nothing is merged: two requests each, a minute of what a bucket of
Google Cloud Storage takes at first (5,000 a second)."""


def merge_groups(tasks: list[str], shards: int, few_references: int) -> list[list[str]]:
    """Tasks by groups that hold about a shard's tokens; none where they would not help.

    Task names begin with a hash, so that a group holds tasks of all kinds of inputs.
    """
    if len(tasks) * shards <= few_references or len(tasks) < 2 * shards:
        return []
    size = -(-len(tasks) // max(shards, 1))
    ordered = sorted(tasks)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def run_name(tasks: tuple[str, ...]) -> str:
    """Of the run that these tasks are merged into."""
    return "merged-" + hashlib.sha256("\n".join(tasks).encode()).hexdigest()[:16]


class MergeDoFn(Versioned):
    """Task names -> name of their merged run, unless they hold nothing."""

    def __init__(self, workspace: Workspace, dtype: Dtype, key: str) -> None:
        super().__init__()
        self._workspace = workspace
        self._dtype = dtype
        self._key = key

    def process(self, tasks: tuple[str, ...]) -> Iterator[str]:
        """Merge, unless a run before did."""
        name = run_name(tasks)
        marker = Marker(self._workspace.work(FOLDER, name + DONE_SUFFIX))
        content = marker.read(self._key)
        if content is None:
            content = merge_tasks(tasks, marker, self._workspace, self._dtype, self._key)
        if content["counts"]["kept"]:
            yield name


def merge_tasks(
    tasks: tuple[str, ...], marker: Marker, workspace: Workspace, dtype: Dtype, key: str
) -> dict[str, dict[str, int]]:
    """Write one run in the order of its tasks' files, and the marker; returns its content.

    Holds the tokens of all of them in memory, about those of a shard.
    """
    started, name = time.monotonic(), run_name(tasks)
    rows: list[TokenRow] = []
    for task in tasks:
        rows += load_rows(task, read_index(task, workspace), workspace, dtype)
    rows.sort(key=lambda r: (r.row["split"], *r.order))
    start = 0
    with storage.new_file(token_file(workspace, name)) as handle:
        for row in rows:
            handle.write(row.tokens.tobytes())
            row.row["start"] = start
            start += len(row.tokens)
    table = pa.Table.from_pylist([row.row for row in rows], schema=TOKEN_ROW)
    files = [token_file(workspace, name), index_file(workspace, name)]
    storage.write_table(files[1], table)
    counts = {"in": len(rows), "kept": len(rows), "rejected": 0, "errors": 0}
    content = {"counts": counts, "seconds": round(time.monotonic() - started, 3)}
    marker.write(key, content, files)
    return {"counts": counts}
