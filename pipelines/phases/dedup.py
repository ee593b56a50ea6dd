"""Phase 2: key files in, cluster files out, by as many jobs as the graph of duplicates needs.

Each job is a pipeline from files to files. It writes into a folder of its own attempt, and its
last step a marker that names the folder: what a killed attempt left is never looked at, and a
driver that comes later begins with the job whose marker is missing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import engine, storage
from pipelines.engine import Build
from pipelines.phases.clusters import Deduplicate, NearVerdicts, SettleExact, check
from pipelines.phases.components import BandEdges, StarRound
from pipelines.phases.dedup_files import (
    FILES,
    WriteClusters,
    WriteEdges,
    WriteMarker,
    connect_edges,
    count_rows,
    read_edges,
    read_keys,
)
from pipelines.phases.lists import ReadList, write_list
from pipelines.phases.members import ClusterRow, Key
from pipelines.workspace import DONE_SUFFIX, Marker
from schemas.errors import ReconcileError
from schemas.recipe import Dedup

__all__ = ["DedupCounts", "DedupWork", "Deduplicate", "Key", "run_dedup"]

EDGE_LIMIT = 5_000_000
"""Pairs that one worker connects: 500 MB and some seconds. Beyond, rounds of stars."""
MAX_ROUNDS = 60
"""A chain of 2^60 documents would need that many; more means a fault, not a large graph."""
_ROWS_PER_FILE = 250_000


class DedupCounts(NamedTuple):
    """in_ == kept + the sum of rejected_by_method."""

    in_: int
    kept: int
    rejected_by_method: dict[str, int]
    """Documents dropped by each step that ran: url, exact, minhash."""

    def content(self) -> dict[str, Any]:
        """As the marker of the phase keeps them."""
        rejected = sum(self.rejected_by_method.values())
        counts = {"in": self.in_, "kept": self.kept, "rejected": rejected, "errors": 0}
        rules = {f"dedup.{method}": n for method, n in self.rejected_by_method.items() if n}
        return {"counts": counts, "rules": rules, "cpu_seconds_by_step": {}}


class DedupJob(NamedTuple):
    """A pipeline that is to be run next."""

    name: str
    build: Build


class Attempt(NamedTuple):
    """What a finished job left."""

    folder: str
    counts: dict[str, int]


class DedupWork(NamedTuple):
    """One deduplication: what it is about, and where its files lie.

    One job does it while the documents cannot make more than `edge_limit` pairs. Else the pairs
    go to files first (`edges`); more than `edge_limit` of them are connected by rounds of large
    and small stars (`stars-0`, ...), fewer by one worker of the last job (`clusters`).
    """

    key_files: list[str]
    documents: int
    """Rows of the key files."""
    target: str
    """Folder of `clusters-NNNNN.parquet` (schema CLUSTER_V1, sorted by cluster, the document that
    stays first)."""
    folder: str
    """Of the attempts and their markers."""
    done: Marker
    """Of the whole."""
    key: str
    settings: Dedup
    edge_limit: int = EDGE_LIMIT

    def jobs(self) -> Iterator[DedupJob]:
        """Every job that is missing: each is to be run before the next one is asked for.

        Raises what next_job raises, and ReconcileError when a job left no marker.
        """
        ran = None
        while (job := self.next_job()) is not None:
            if job.name == ran:
                raise ReconcileError(
                    f"job {ran} of dedup ended without its marker in {self.folder}: run the same "
                    "command again"
                )
            yield job
            ran = job.name

    def next_job(self) -> DedupJob | None:
        """The first job without a marker; None when all is done.

        Raises:
            UsageError: band settings that the guard refuses.
            ReconcileError: the rounds do not come to an end.
        """
        check(self.settings)
        if self.done.read(self.key) is not None:
            return None
        bands = self.settings.minhash.bands if self.settings.minhash else 0
        if self.documents * bands <= self.edge_limit:
            return DedupJob("clusters", self._all_at_once)
        edges = self._attempt("edges")
        if edges is None:
            return DedupJob("edges", self._find_edges)
        if edges.counts.get("edges", 0) <= self.edge_limit:
            return DedupJob("clusters", partial(self._connect, folder=edges.folder))
        return self._next_round(edges)

    def _next_round(self, before: Attempt) -> DedupJob:
        for number in range(MAX_ROUNDS):
            name = f"stars-{number}"
            stars = self._attempt(name)
            if stars is None:
                return DedupJob(name, partial(self._round, name=name, before=before.folder))
            if not stars.counts.get("changed", 0):
                return DedupJob("clusters", partial(self._label, folder=stars.folder))
            before = stars
        raise ReconcileError(f"connected components did not settle in {MAX_ROUNDS} rounds")

    def _attempt(self, name: str) -> Attempt | None:
        """The attempt that a marker names, while all its files are there."""
        content = self._marker(name).read(self.key)
        if content is None:
            return None
        folder, counts = storage.join(self.folder, content["attempt"]), content["counts"]
        if len(storage.list_files(folder, ".parquet")) < counts.get(FILES, 0):
            return None
        return Attempt(folder, counts)

    def _marker(self, name: str) -> Marker:
        return Marker(storage.join(self.folder, name + DONE_SUFFIX))

    def _new_attempt(self, name: str) -> tuple[str, AttemptDone]:
        attempt = f"{name}-{uuid.uuid4().hex[:12]}"
        folder = storage.join(self.folder, attempt)
        return folder, AttemptDone(self._marker(name), self.key, attempt)

    def _list(self, items: list[str]) -> list[str]:
        return write_list(storage.join(self.folder, "lists"), items)

    def _keys(self, pipeline: beam.Pipeline) -> beam.PCollection:
        files = pipeline | "KeyFiles" >> ReadList(self._list(self.key_files))
        return files | "ReadKeys" >> beam.FlatMap(read_keys)

    def _all_at_once(self, pipeline: beam.Pipeline) -> None:
        """Everything in one job, the pairs connected by one worker."""
        keys = self._keys(pipeline)
        self._write(keys, keys | "Deduplicate" >> Deduplicate(self.settings))

    def _find_edges(self, pipeline: beam.Pipeline) -> None:
        folder, done = self._new_attempt("edges")
        members = self._keys(pipeline) | "Exact" >> SettleExact(self.settings)
        edges = members | "BandEdges" >> BandEdges()
        counted = edges | "One" >> beam.Map(_named_one, "edges")
        written = edges | "WriteEdges" >> WriteEdges(folder)
        (
            (counted, written)
            | "Counted" >> beam.Flatten()
            | "WriteMarker" >> WriteMarker(done.declare)
        )

    def _round(self, pipeline: beam.Pipeline, name: str, before: str) -> None:
        folder, done = self._new_attempt(name)
        files = self._list(storage.list_files(before, ".parquet"))
        edges, changed = read_edges(pipeline, files) | "Round" >> StarRound()
        counted = changed | "One" >> beam.Map(_named_one, "changed")
        written = edges | "WriteEdges" >> WriteEdges(folder)
        (
            (counted, written)
            | "Counted" >> beam.Flatten()
            | "WriteMarker" >> WriteMarker(done.declare)
        )

    def _connect(self, pipeline: beam.Pipeline, folder: str) -> None:
        self._verdicts(pipeline, connect_edges(pipeline, folder))

    def _label(self, pipeline: beam.Pipeline, folder: str) -> None:
        files = self._list(storage.list_files(folder, ".parquet"))
        self._verdicts(pipeline, read_edges(pipeline, files))

    def _verdicts(self, pipeline: beam.Pipeline, stars: beam.PCollection) -> None:
        """The exact steps run a second time: cheaper than storing every document's way through
        them."""
        keys = self._keys(pipeline)
        members = keys | "Exact" >> SettleExact(self.settings)
        self._write(keys, (members, stars) | "Verdicts" >> NearVerdicts())

    def _write(self, keys: beam.PCollection, rows: beam.PCollection) -> None:
        for path in storage.list_files(self.target, ".parquet"):
            storage.remove(path)
        files = max(1, -(-self.documents // _ROWS_PER_FILE))
        done = ClustersDone(self.done, self.key, self.target, self.documents, self.settings)
        (
            (
                keys | "In" >> beam.Map(_named_one, "in"),
                rows | "Dropped" >> beam.FlatMap(_dropped),
                rows | "WriteClusters" >> WriteClusters(self.target, files),
            )
            | "Counted" >> beam.Flatten()
            | "WriteMarker" >> WriteMarker(done.declare)
        )


class AttemptDone(NamedTuple):
    """Declares an attempt the one that counts."""

    marker: Marker
    key: str
    attempt: str

    def declare(self, counts: dict[str, int]) -> None:
        """Write the marker."""
        self.marker.write(self.key, {"attempt": self.attempt, "counts": counts}, [])


class ClustersDone(NamedTuple):
    """Declares the deduplication done, after checking that it accounts for every document."""

    marker: Marker
    key: str
    target: str
    documents: int
    settings: Dedup

    def declare(self, counts: dict[str, int]) -> None:
        """Write the marker. Raises ReconcileError when the counts do not add up."""
        counts.pop(FILES, None)
        content = _reconcile(self.documents, self.settings, counts).content()
        self.marker.write(self.key, content, storage.list_files(self.target, ".parquet"))


def run_dedup(
    key_files: list[str],
    target: str,
    settings: Dedup,
    options: PipelineOptions | None,
    *,
    edge_limit: int = EDGE_LIMIT,
) -> DedupCounts:
    """Find the duplicates among the documents of `key_files` anew, with nothing to resume; same
    input, same files.

    Args:
        key_files: Parquet files of schema KEY_V1.
        target: folder of the clusters; what an earlier call left there is removed.
        settings: the recipe's section.
        options: Beam options; None: the local runner.
        edge_limit: pairs of near duplicates that one worker may connect.

    Raises:
        UsageError: band settings that the guard refuses.
        InputError: a key file is missing, unreadable or of another recipe.
        OutputError: the target cannot be written.
        ReconcileError: the counts do not add up.
    """
    check(settings)
    documents = sum(count_rows(path) for path in key_files)
    folder = storage.join(target, ".work", uuid.uuid4().hex[:12])
    done = Marker(storage.join(folder, "dedup" + DONE_SUFFIX))
    work = DedupWork(key_files, documents, target, folder, done, "", settings, edge_limit)
    try:
        for job in work.jobs():
            engine.run(job.build, options or engine.make_options(None, []))
        content = done.read("")
    finally:
        storage.remove_folder(storage.join(target, ".work"))
    assert content is not None
    steps = _steps(settings)
    rejected = {name: content["rules"].get(f"dedup.{name}", 0) for name in steps if steps[name]}
    return DedupCounts(content["counts"]["in"], content["counts"]["kept"], rejected)


def _named_one(_: Any, name: str) -> tuple[str, int]:
    return name, 1


def _dropped(plain: tuple[Any, ...]) -> Iterator[tuple[str, int]]:
    row = ClusterRow(*plain)
    if not row.kept:
        yield row.method, 1


def _steps(settings: Dedup) -> dict[str, bool]:
    return {
        "url": settings.url,
        "exact": settings.exact,
        "minhash": settings.minhash is not None,
    }


def _reconcile(total: int, settings: Dedup, counted: dict[str, int]) -> DedupCounts:
    read = counted.pop("in", 0)
    if read != total:
        raise ReconcileError(f"dedup read {read} documents, the key files hold {total}")
    dropped = {name: counted.pop(name, 0) for name, runs in _steps(settings).items() if runs}
    if counted:
        raise ReconcileError(f"dedup dropped documents by steps that did not run: {counted}")
    return DedupCounts(total, total - sum(dropped.values()), dropped)
