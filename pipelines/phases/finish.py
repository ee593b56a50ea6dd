"""Phase 3: each task's documents again, less the duplicates, with PII replaced, less those that
share text with benchmarks, and with a split.

What is dropped here joins the rejected documents of phase 1; their text samples are scrubbed too,
so that no file outside .work holds PII that the recipe replaces.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import xxhash
from apache_beam.utils.shared import Shared

from pipelines import storage
from pipelines.benchmarks import load_index
from pipelines.children import DECONTAMINATION, PII, Scrubbed, ScrubPool, scrub_pool
from pipelines.phases.extract import SCRUB_MARGIN_CHARS, task_file
from pipelines.phases.lists import ReadList, write_list
from pipelines.pool import Killed
from pipelines.progress import Heartbeat
from pipelines.same_versions import Versioned
from pipelines.workspace import DONE_SUFFIX, Marker, Workspace
from schemas.recipe import Recipe, Shards
from schemas.tables import DOCUMENT_V1, ERROR_V1, REJECTED_TEXT_CHARS, REJECTED_V1
from stages.decontamination import BenchmarkSize, Match

FOLDER = "finish"
FOLDERS = ("documents", "rejected", "errors")
"""Folders of OUT in which each task has a file."""
TRAIN, VALIDATION = "train", "validation"
_NAMED = beam.typehints.KV[str, beam.typehints.Any]


class Membership(NamedTuple):
    """What deduplication says of one document of a task."""

    row: int
    kept: bool
    cluster_id: str
    cluster_size: int
    method: str


def split_of(document_id: str, settings: Shards) -> str:
    """train or validation, by hashed id: the same document lands on the same side in any run."""
    point = xxhash.xxh3_64_intdigest(document_id.encode(), seed=settings.seed) / 2**64
    return VALIDATION if point < settings.validation_fraction else TRAIN


def finish_task(
    name: str,
    key: str,
    members: Iterable[Membership],
    workspace: Workspace,
    recipe: Recipe,
    pool: ScrubPool,
    benchmarks: Sequence[BenchmarkSize] = (),
) -> dict[str, Any]:
    """Write the task's documents, rejections and errors to their final places.

    `benchmarks` are those that the pool compares with. A task that is complete for `key` is taken
    over, as by extract.
    """
    marker = Marker(workspace.work(FOLDER, name + DONE_SUFFIX))
    if (done := marker.read(key)) is not None:
        return done
    started, thread_started = time.monotonic(), time.thread_time()
    by_row = {member.row: member for member in members}
    documents = storage.read_table(task_file(workspace, name, "documents")).to_pylist()
    rejected = storage.read_table(task_file(workspace, name, "rejected")).to_pylist()
    errors = storage.read_table(task_file(workspace, name, "errors")).to_pylist()
    extracted = len(errors)

    counts: Counter[str] = Counter({"in": len(documents), "kept": 0, "rejected": 0, "errors": 0})
    rules: Counter[str] = Counter()
    pii: Counter[str] = Counter()
    steps: defaultdict[str, float] = defaultdict(float)
    heartbeat = Heartbeat(workspace, name)
    kept: list[dict[str, Any]] = []
    survivors: list[dict[str, Any]] = []
    contaminated: list[dict[str, Any]] = []
    for row, document in enumerate(documents):
        member = by_row.get(row)
        if member is None or member.kept:
            survivors.append(_with_cluster(document, member))
        else:
            rules[f"dedup.{member.method}"] += 1
            counts["rejected"] += 1
            rejected.append(_duplicate_row(document, member))
    for document, result in pool.results(survivors, _text_of, _text_bytes):
        if isinstance(result, Killed):
            counts["errors"] += 1
            errors.append(_error_row(document, result))
        else:
            steps[PII] += result.seconds
            if recipe.decontamination is not None:
                steps[DECONTAMINATION] += result.match_seconds
            if result.match is not None:
                contaminated.append(_contaminated_row(document, result.text, result.match, recipe))
                rules[contaminated[-1]["rule"]] += 1
                counts["rejected"] += 1
            else:
                kept.append(_finished(document, result, recipe))
                pii.update(result.found)
                counts["kept"] += 1
        heartbeat.beat(counts, counts["kept"] / max(len(survivors), 1))
    # Samples of contaminated documents are of scrubbed text already.
    rejected = [*_scrub_samples(rejected, pool), *contaminated]
    files = _write(workspace, name, kept, rejected, errors)
    content = {
        "counts": dict(counts),
        "rules": dict(rules),
        "pii": {kind: pii[kind] for kind in recipe.pii.kinds},
        "error_kinds": dict(Counter(f"{e['stage']}.{e['error']}" for e in errors[extracted:])),
        "languages": dict(Counter(d["language"] for d in kept)),
        "splits": dict(Counter(d["split"] for d in kept)),
        "benchmarks": [size._asdict() for size in benchmarks],
        "train_bytes": sum(len(d["text"].encode()) for d in kept if d["split"] == TRAIN),
        "cpu_seconds_by_step": {
            **{name: round(seconds, 6) for name, seconds in steps.items()},
            "finish": round(time.thread_time() - thread_started, 6),
        },
        "seconds": round(time.monotonic() - started, 3),
    }
    marker.write(key, content, files)
    heartbeat.stop()
    return content


def _text_of(row: dict[str, Any]) -> str:
    text: str = row["text"]
    return text


def _text_bytes(row: dict[str, Any]) -> int:
    return len(row["text"])


def _with_cluster(document: dict[str, Any], member: Membership | None) -> dict[str, Any]:
    document["cluster_id"] = document["id"] if member is None else member.cluster_id
    document["cluster_size"] = 1 if member is None else member.cluster_size
    return document


def _finished(document: dict[str, Any], result: Scrubbed, recipe: Recipe) -> dict[str, Any]:
    document["text"] = result.text
    document["n_chars"] = len(result.text)
    document["pii"] = {kind: result.found.get(kind, 0) for kind in recipe.pii.kinds}
    document["split"] = split_of(document["id"], recipe.shards)
    return document


def _duplicate_row(document: dict[str, Any], member: Membership) -> dict[str, Any]:
    return {
        **_of_document(document),
        "stage": "dedup",
        "rule": f"dedup.{member.method}",
        "value": float(member.cluster_size),
        "threshold": 1.0,
        "text": document["text"][: REJECTED_TEXT_CHARS + SCRUB_MARGIN_CHARS],
        "detail": f"cluster {member.cluster_id}",
    }


def _contaminated_row(
    document: dict[str, Any], text: str, match: Match, recipe: Recipe
) -> dict[str, Any]:
    assert recipe.decontamination is not None
    return {
        **_of_document(document),
        "stage": DECONTAMINATION,
        "rule": f"{DECONTAMINATION}.{match.benchmark}",
        "value": match.share,
        "threshold": recipe.decontamination.share,
        "text": text[:REJECTED_TEXT_CHARS],
        "detail": f"record {match.record}: {match.ngram}",
    }


def _of_document(document: dict[str, Any]) -> dict[str, Any]:
    same = ("id", "url", "language", "warc_file", "warc_offset")
    return {"rule_version": 1, **{name: document[name] for name in same}}


def _error_row(document: dict[str, Any], killed: Killed) -> dict[str, Any]:
    return {
        "file": document["warc_file"],
        "offset": document["warc_offset"],
        "length": document["warc_length"],
        # A process that died does not say in which step, and scrubbing takes most of the time.
        "stage": killed.step or PII,
        "error": killed.error,
        "detail": killed.detail,
        "url": document["url"],
    }


def _scrub_samples(rows: list[dict[str, Any]], pool: ScrubPool) -> Iterator[dict[str, Any]]:
    for row, result in pool.results(rows, _text_of, _text_bytes):
        row["text"] = "" if isinstance(result, Killed) else result.text[:REJECTED_TEXT_CHARS]
        yield row


def _write(
    workspace: Workspace,
    name: str,
    kept: list[dict[str, Any]],
    rejected: list[dict[str, Any]],
    errors: list[dict[str, Any]],
) -> list[str]:
    paths = []
    tables = ((kept, DOCUMENT_V1), (rejected, REJECTED_V1), (errors, ERROR_V1))
    for folder, (rows, schema) in zip(FOLDERS, tables, strict=True):
        table = pa.Table.from_pylist(rows, schema=schema)
        paths.append(workspace.path(folder, f"{name}.parquet"))
        storage.write_table(paths[-1], table)
    return paths


class _Scrubbing:
    """What the tasks of a process share."""

    def __init__(self, pool: ScrubPool, benchmarks: list[BenchmarkSize]) -> None:
        self.pool = pool
        self.benchmarks = benchmarks


class FinishDoFn(Versioned):
    """(task name, grouped inputs) -> nothing; the files are the output."""

    def __init__(
        self,
        workspace: Workspace,
        recipe: Recipe,
        workers: int,
        key: str,
        shared: Shared,
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._recipe = recipe
        self._workers = workers
        self._key = key
        self._shared = shared

    def start(self) -> None:
        """One pool a process."""
        self._scrubbing: _Scrubbing = self._shared.acquire(self._start_pool)

    def _start_pool(self) -> _Scrubbing:
        index = load_index(self._recipe.decontamination)
        pool = scrub_pool(self._recipe, index, self._workers)
        return _Scrubbing(pool, index.sizes if index is not None else [])

    def process(self, element: tuple[str, dict[str, Iterable[Any]]]) -> None:
        """Finish one task, unless it is only named by clusters of work done before."""
        name, grouped = element
        if not list(grouped["tasks"]):
            return
        members = (Membership(*m) for m in grouped["members"])
        work = self._scrubbing
        finish_task(
            name, self._key, members, self._workspace, self._recipe, work.pool, work.benchmarks
        )


class ReadMembers(beam.DoFn):
    """A clusters file -> (task name, Membership) for each of its rows."""

    def process(self, path: str) -> Iterator[tuple[str, tuple[int, bool, str, int, str]]]:
        """Only the columns that finishing needs."""
        columns = ["segment", "row", "kept", "cluster_id", "cluster_size", "method"]
        table = storage.read_table(path, columns)
        for row in zip(*(table.column(c).to_pylist() for c in columns), strict=True):
            yield row[0], row[1:]


def build(
    pipeline: beam.Pipeline,
    names: list[str],
    key: str,
    cluster_files: list[str],
    workspace: Workspace,
    recipe: Recipe,
    workers: int,
) -> None:
    """Bring each task its part of the drop list; ids and flags cross the shuffle, never text.

    The clusters are published on the way.
    """
    lists = workspace.work("lists")
    tasks = (
        pipeline
        | "Tasks" >> ReadList(write_list(lists, names))
        | "Named" >> beam.Map(_named).with_output_types(_NAMED)
    )
    files = pipeline | "ClusterFiles" >> ReadList(write_list(lists, cluster_files))
    files | "Publish" >> beam.Map(_publish, workspace)
    members = files | "ReadMembers" >> beam.ParDo(ReadMembers())
    (
        {"tasks": tasks, "members": members}
        | "ByTask" >> beam.CoGroupByKey()
        | "Finish" >> beam.ParDo(FinishDoFn(workspace, recipe, workers, key, Shared()))
    )


def _named(name: str) -> tuple[str, None]:
    return name, None


def _publish(path: str, workspace: Workspace) -> None:
    storage.write_bytes(_published(path, workspace), storage.read_bytes(path))


def _published(path: str, workspace: Workspace) -> str:
    return workspace.path("clusters", path.rsplit("/", 1)[-1])


def publish_clusters(cluster_files: list[str], workspace: Workspace) -> None:
    """Bring OUT/clusters up to date: copies that are missing, and none of another run."""
    current = {_published(path, workspace): path for path in cluster_files}
    for target, path in current.items():
        if storage.size_of(target) != storage.size_of(path):
            _publish(path, workspace)
    for path in storage.list_files(workspace.path("clusters"), ".parquet"):
        if path not in current:
            storage.remove(path)
