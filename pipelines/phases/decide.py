"""Phase 1 of `decide`: the pages of an annotated run instead of WARC records, to the same files."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from apache_beam.utils.shared import Shared

from pipelines import storage
from pipelines.assets import worker_assets
from pipelines.children import RejudgePool, rejudge_pool
from pipelines.phases.annotate import FIXED_STAGES, annotated_file, read_annotated
from pipelines.phases.extract import FOLDER, ExtractDoFn, TaskRows, task_file
from pipelines.progress import Heartbeat
from pipelines.sources import Task
from pipelines.workspace import DONE_SUFFIX, Marker, Workspace
from schemas.page import Page
from schemas.recipe import Recipe
from schemas.verdict import Outcome
from stages.refine import RefineAssets


def decide_task(
    rows: TaskRows,
    read: dict[str, Any],
    source: Workspace,
    key: str,
    workspace: Workspace,
    pool: RejudgePool,
) -> dict[str, Any]:
    """Run one task to the files that extract would leave, and its marker.

    `read` is the content of the task's marker in the annotated run: what the reader met. A task
    that is complete for `key` is taken over, as by extract.
    """
    task = rows.task
    marker = Marker(workspace.work(FOLDER, task.name + DONE_SUFFIX))
    if (done := marker.read(key)) is not None:
        return done
    heartbeat = Heartbeat(workspace, task.name)
    started, thread_started = time.monotonic(), time.thread_time()
    _take_over(rows, read, source)
    pages = list(read_annotated(annotated_file(source, task.name)))
    for number, ((page, _), outcome) in enumerate(pool.results(pages, _annotated, _text_bytes)):
        rows.add(page, outcome)
        heartbeat.beat(rows.counts, number / len(pages))
    # Pages turned down before their URL was looked at were taken over first: back to file order.
    rows.rejected.sort(key=lambda row: row["warc_offset"])
    files = rows.write(workspace)
    rows.steps["decide"] += time.thread_time() - thread_started
    content = rows.summary(time.monotonic() - started)
    marker.write(key, content, files)
    heartbeat.stop()
    return content


def _take_over(rows: TaskRows, read: dict[str, Any], source: Workspace) -> None:
    """What no recipe with the same page section would decide otherwise."""
    rows.skipped = Counter(read["skipped"])
    rows.notes = Counter(read["notes"])
    for kind, take in (("rejected", rows.take_rejected), ("errors", rows.take_error)):
        for row in storage.read_table(task_file(source, rows.task.name, kind)).to_pylist():
            if row["stage"] in FIXED_STAGES:
                rows.counts["in"] += 1
                take(row)


def _annotated(item: tuple[Page, Outcome]) -> Outcome:
    return item[1]


def _text_bytes(item: tuple[Page, Outcome]) -> int:
    return len(item[1].text)


class DecideDoFn(ExtractDoFn):
    """(task, key) -> nothing; the files are the output. Reads the annotated run in `source`."""

    def __init__(
        self,
        workspace: Workspace,
        recipe: Recipe,
        assets: RefineAssets,
        workers: int,
        shared: Shared,
        source: Workspace,
        annotated: Recipe,
        annotated_keys: dict[str, str],
    ) -> None:
        super().__init__(workspace, recipe, assets, workers, shared)
        self._source = source
        self._annotated = annotated
        self._annotated_keys = annotated_keys

    def start(self) -> None:
        """One pool a process."""
        self._judges: RejudgePool = self._shared.acquire(self._start_judges)

    def _start_judges(self) -> RejudgePool:
        assets = worker_assets(self._recipe, self._assets)
        return rejudge_pool(self._recipe, self._annotated, assets, self._workers)

    def _stop_children(self) -> None:
        self._judges.close()

    def run_task(self, task: Task, key: str) -> dict[str, Any]:
        """One task, on a thread of its own."""
        marker = Marker(self._source.work(FOLDER, task.name + DONE_SUFFIX))
        read = marker.read(self._annotated_keys[task.name])
        assert read is not None, "checked before the run began"
        rows = TaskRows(task, self._recipe.hash())
        return decide_task(rows, read, self._source, key, self._workspace, self._judges)
