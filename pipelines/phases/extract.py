"""Phase 1: every task's pages through refine() in killable children, to Parquet beside the data."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from pipelines import storage
from pipelines.assets import worker_assets
from pipelines.children import RefinePool, refine_pool
from pipelines.names import written
from pipelines.phases.lists import ReadList, write_list
from pipelines.pool import Killed
from pipelines.progress import Heartbeat
from pipelines.same_versions import Versioned
from pipelines.sources import Task, read_task
from pipelines.workspace import DONE_SUFFIX, Marker, Workspace
from schemas.page import Damage, Page, Skipped
from schemas.recipe import Recipe
from schemas.tables import (
    DOCUMENT_V1,
    ERROR_V1,
    KEY_V1,
    REJECTED_TEXT_CHARS,
    REJECTED_V1,
)
from schemas.verdict import Failure, Outcome, Rejection
from stages.refine import RefineAssets

FOLDER = "extract"
SCRUB_MARGIN_CHARS = 500
"""Characters of a rejected text kept beyond its sample until PII is replaced: an address that the
cut goes through must be seen whole."""

SEGMENTS_IN_FLIGHT = 2
"""Segments that one worker reads at a time: the children stay busy while one of them ends."""


def extract_task(
    rows: TaskRows, key: str, workspace: Workspace, pool: RefinePool
) -> dict[str, Any]:
    """Run one task to its files and its marker; returns the marker's content (counts).

    A task that is complete for `key` is taken over: an engine that lost a worker runs again what
    it does not know to be done.
    """
    task = rows.task
    marker = Marker(workspace.work(FOLDER, task.name + DONE_SUFFIX))
    if (done := marker.read(key)) is not None:
        return done
    heartbeat = Heartbeat(workspace, task.name)
    started, thread_started = time.monotonic(), time.thread_time()
    for page, outcome in pool.results(rows.pages(read_task(task)), _same, _page_bytes):
        rows.add(page, outcome)
        share = (page.warc_offset - task.start) / max(task.end - task.start, 1)
        heartbeat.beat(rows.counts, share)
    read_seconds = time.thread_time() - thread_started
    files = rows.write(workspace)
    rows.steps["read"] += read_seconds
    rows.steps["write"] += time.thread_time() - thread_started - read_seconds
    content = rows.summary(time.monotonic() - started)
    marker.write(key, content, files)
    heartbeat.stop()
    return content


def _same(page: Page) -> Page:
    return page


def _page_bytes(page: Page) -> int:
    return len(page.body) + (len(page.text) if page.text is not None else 0)


class TaskRows:
    """The rows and counts that one task leaves."""

    def __init__(self, task: Task, recipe_hash: str) -> None:
        self.task = task
        self.recipe_hash = recipe_hash
        self.file = task.label
        self.counts: Counter[str] = Counter({"in": 0, "kept": 0, "rejected": 0, "errors": 0})
        self.skipped: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.rejections_by_stage: Counter[str] = Counter()
        self.errors_by_stage: Counter[str] = Counter()
        self.error_kinds: Counter[str] = Counter()
        self.steps: defaultdict[str, float] = defaultdict(float)
        self.documents: list[dict[str, Any]] = []
        self.keys: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    def pages(self, events: Iterable[Page | Skipped | Damage]) -> Iterator[Page]:
        """Only the pages; what else the reader met is written down on the way."""
        for event in events:
            if isinstance(event, Page):
                yield event
            elif isinstance(event, Damage):
                self.counts["in"] += 1
                failure = Failure("read", event.error, event.detail)
                self._add_error(event.offset, event.length, failure, "")
            else:
                self.skipped[event.record_type] += 1

    def add(self, page: Page, outcome: Outcome | Killed) -> None:
        """Account for one page."""
        self.counts["in"] += 1
        if page.damage:
            self.notes[page.damage] += 1
        if isinstance(outcome, Killed):
            failure = Failure("extract", outcome.error, outcome.detail)
            self._add_error(page.warc_offset, page.warc_length, failure, page.url)
            return
        for step, seconds in outcome.seconds_by_step.items():
            self.steps[step] += seconds
        if outcome.failure is not None:
            self._add_error(page.warc_offset, page.warc_length, outcome.failure, page.url)
        elif outcome.rejection is not None:
            self._add_rejected(page, outcome, outcome.rejection)
        else:
            self._add_kept(page, outcome)

    def _add_error(self, offset: int, length: int, failure: Failure, url: str) -> None:
        self.take_error(
            {
                "file": self.file,
                "offset": offset,
                "length": length,
                "stage": failure.stage,
                "error": failure.error,
                "detail": failure.detail,
                "url": url,
            }
        )

    def take_error(self, row: dict[str, Any]) -> None:
        """Account for a row of errors/."""
        self.counts["errors"] += 1
        self.errors_by_stage[row["stage"]] += 1
        self.error_kinds[f"{row['stage']}.{row['error']}"] += 1
        self.errors.append(row)

    def take_rejected(self, row: dict[str, Any]) -> None:
        """Account for a row of rejected/."""
        self.counts["rejected"] += 1
        self.rules[row["rule"]] += 1
        self.rejections_by_stage[row["stage"]] += 1
        self.rejected.append(row)

    def _add_rejected(self, page: Page, outcome: Outcome, rejection: Rejection) -> None:
        self.take_rejected(
            {
                "id": outcome.id,
                "url": outcome.url,
                "stage": rejection.stage,
                "rule": rejection.rule,
                "value": rejection.value,
                "threshold": rejection.threshold,
                "rule_version": rejection.rule_version,
                "language": outcome.language,
                "text": outcome.text[: REJECTED_TEXT_CHARS + SCRUB_MARGIN_CHARS],
                "detail": rejection.detail,
                "warc_file": page.warc_file,
                "warc_offset": page.warc_offset,
            }
        )

    def _add_kept(self, page: Page, outcome: Outcome) -> None:
        shared = {
            "id": outcome.id,
            "warc_file": page.warc_file,
            "warc_offset": page.warc_offset,
            "date": page.date,
            "n_chars": outcome.n_chars,
            "language_score": outcome.language_score,
            "content_hash": outcome.content_hash,
        }
        self._add_key(shared, outcome)
        self.documents.append(
            {
                **shared,
                "url": outcome.url,
                "host": outcome.host,
                "text": outcome.text,
                "language": outcome.language,
                "source": page.source,
                "warc_length": page.warc_length,
                "mime": outcome.mime,
                "charset": outcome.charset,
                "extractor": outcome.extractor,
                "n_words": outcome.n_words,
                "signals": list(outcome.signals.items()),
                "recipe_hash": self.recipe_hash,
            }
        )
        self.counts["kept"] += 1

    def _add_key(self, shared: dict[str, Any], outcome: Outcome) -> None:
        self.keys.append(
            {
                **shared,
                "segment": self.task.name,
                "row": len(self.documents),
                "url_key": outcome.url_key,
                "bands": outcome.bands,
            }
        )

    def write(self, workspace: Workspace) -> list[str]:
        """All files of the task, each atomically; returns their paths for the marker."""
        tables = (
            ("documents", self.documents, DOCUMENT_V1),
            ("keys", self.keys, KEY_V1),
            ("rejected", self.rejected, REJECTED_V1),
            ("errors", self.errors, ERROR_V1),
        )
        paths = []
        for name, rows, schema in tables:
            paths.append(task_file(workspace, self.task.name, name))
            storage.write_table(paths[-1], pa.Table.from_pylist(rows, schema=schema))
        return paths

    def summary(self, seconds: float) -> dict[str, Any]:
        """Counts and CPU seconds, as the marker keeps them."""
        return {
            "file": self.file,
            "counts": dict(self.counts),
            "skipped": dict(self.skipped),
            "notes": dict(self.notes),
            "rules": dict(self.rules),
            "rejections_by_stage": dict(self.rejections_by_stage),
            "errors_by_stage": dict(self.errors_by_stage),
            "error_kinds": dict(self.error_kinds),
            "cpu_seconds_by_step": {k: round(v, 6) for k, v in self.steps.items()},
            "seconds": round(seconds, 3),
        }


def task_file(workspace: Workspace, name: str, kind: str) -> str:
    """Path of a phase-1 output: kind is documents, keys, rejected or errors."""
    return workspace.work(FOLDER, f"{name}.{kind}.parquet")


class ExtractDoFn(Versioned):
    """(task, key) -> nothing; the files are the output. A few tasks run at a time, on threads
    that wait for the children; the bundle ends when all of them are done."""

    ANNOTATE = False
    ROWS: type[TaskRows] = TaskRows

    def __init__(
        self,
        workspace: Workspace,
        recipe: Recipe,
        assets: RefineAssets,
        workers: int,
        shared: Shared,
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._recipe = recipe
        self._assets = assets
        self._workers = workers
        self._shared = shared
        self._pages = {
            name: Metrics.counter("corpusmill", f"pages_{name}")
            for name in ("in", "kept", "rejected", "errors")
        }

    def start(self) -> None:
        """One pool a process, however many threads the runner gives it."""
        self._pool: RefinePool = self._shared.acquire(self._start_children)

    def _start_children(self) -> RefinePool:
        assets = worker_assets(self._recipe, self._assets)
        return refine_pool(self._recipe, assets, self._workers, annotate=self.ANNOTATE)

    def start_bundle(self) -> None:
        """Threads live for one bundle, so that an error ends the bundle that caused it."""
        self._threads = ThreadPoolExecutor(SEGMENTS_IN_FLIGHT, thread_name_prefix="segment")
        self._running: list[Future[dict[str, Any]]] = []

    def process(self, element: tuple[Task, str]) -> None:
        """Begin a task; finish_bundle waits for it."""
        task, key = Task(*element[0]), element[1]
        self._running.append(self._threads.submit(self.run_task, task, key))

    def run_task(self, task: Task, key: str) -> dict[str, Any]:
        """One task, on a thread of its own."""
        rows = self.ROWS(task, self._recipe.hash())
        return extract_task(rows, key, self._workspace, self._pool)

    def finish_bundle(self) -> None:
        """Wait for all tasks; the first error is raised, the files of the others are kept."""
        try:
            for running in self._running:
                for name, count in running.result()["counts"].items():
                    self._pages[name].inc(count)
        except KeyboardInterrupt:
            # The tasks under way would take minutes: without children they end at once.
            self._stop_children()
            raise
        finally:
            self._threads.shutdown(wait=True, cancel_futures=True)

    def _stop_children(self) -> None:
        self._pool.close()


def build(
    pipeline: beam.Pipeline,
    tasks: list[tuple[Task, str]],
    extract: ExtractDoFn,
    lists: str,
) -> None:
    """The phase as a Beam graph: tasks, listed below the folder `lists`, spread over the workers.

    A signed URL is the key to its file: it goes into the graph and is not written down.
    """
    signed = {task.name: task.path for task, _ in tasks if written(task.path) != task.path}
    items = [(task._replace(path=written(task.path)), key) for task, key in tasks]
    (
        pipeline
        | "Tasks" >> ReadList(write_list(lists, items))
        | "Paths" >> beam.Map(_with_path, signed)
        | "Extract" >> beam.ParDo(extract)
    )


def _with_path(element: tuple[Any, str], signed: dict[str, str]) -> tuple[tuple[Any, ...], str]:
    task = Task(*element[0])
    return tuple(task._replace(path=signed.get(task.name, task.path))), element[1]
