"""Phase 2: key files in, cluster files out, by as many Beam pipelines as the graph needs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import engine, storage
from pipelines.phases.clusters import Deduplicate, NearVerdicts, SettleExact, check
from pipelines.phases.components import BandEdges, StarRound
from pipelines.phases.dedup_files import (
    WriteClusters,
    WriteCounts,
    WriteEdges,
    connect_files,
    count_rows,
    read_counts,
    read_edges,
    read_keys,
)
from pipelines.phases.members import ClusterRow, Key
from schemas.errors import ReconcileError
from schemas.recipe import Dedup

__all__ = ["DedupCounts", "Deduplicate", "Key", "run_dedup"]

EDGE_LIMIT = 5_000_000
"""Pairs that one process connects: 500 MB and some seconds. Beyond, rounds of stars."""
MAX_ROUNDS = 60
"""A chain of 2^60 documents would need that many; more means a fault, not a large graph."""
_ROWS_PER_FILE = 250_000


class DedupCounts(NamedTuple):
    """in_ == kept + the sum of rejected_by_method."""

    in_: int
    kept: int
    rejected_by_method: dict[str, int]
    """Documents dropped by each step that ran: url, exact, minhash."""


def run_dedup(
    key_files: list[str],
    target: str,
    settings: Dedup,
    options: PipelineOptions | None,
    *,
    edge_limit: int = EDGE_LIMIT,
) -> DedupCounts:
    """Find the duplicates among the documents of `key_files`; same input, same files.

    One pipeline does it while the documents cannot make more than `edge_limit` pairs. Else the
    pairs go to files first; up to `edge_limit` of them are connected in this process, more by
    rounds of large and small stars, each a pipeline from files to files.

    Args:
        key_files: Parquet files of schema KEY_V1.
        target: folder of `clusters-NNNNN.parquet` (schema CLUSTER_V1, sorted by cluster, the
            document that stays first); what an earlier call left there is removed.
        settings: the recipe's section.
        options: Beam options; None: the local runner.
        edge_limit: pairs of near duplicates that one process may connect.

    Raises:
        UsageError: band settings that the guard refuses.
        InputError: a key file is missing, unreadable or of another recipe.
        OutputError: the target cannot be written.
        ReconcileError: the counts do not add up.
    """
    check(settings)
    total = sum(count_rows(path) for path in key_files)
    for path in storage.list_files(target, ".parquet"):
        storage.remove(path)
    # A folder of its own: pairs that a killed call left behind must never join this one's.
    work = storage.join(target, f"work-{uuid.uuid4().hex[:12]}")
    run = _Run(
        key_files,
        target,
        work,
        settings,
        options or engine.make_options(None, []),
        max(1, -(-total // _ROWS_PER_FILE)),
    )
    bands = settings.minhash.bands if settings.minhash else 0
    try:
        if total * bands <= edge_limit:
            run.in_one_pipeline()
        else:
            run.over_files(edge_limit)
        return _reconcile(total, settings, read_counts(run.counts_file))
    finally:
        storage.remove_folder(work)


class _Run(NamedTuple):
    """What every pipeline of one call shares."""

    key_files: list[str]
    target: str
    work: str
    settings: Dedup
    options: PipelineOptions
    cluster_files: int

    @property
    def counts_file(self) -> str:
        return storage.join(self.work, "counts.json")

    def in_one_pipeline(self) -> None:
        """Everything at once, the pairs connected by one worker."""

        def build(pipeline: beam.Pipeline) -> None:
            keys = self._keys(pipeline)
            self._write(keys, keys | "Deduplicate" >> Deduplicate(self.settings))

        engine.run(build, self.options)

    def over_files(self, edge_limit: int) -> None:
        """Pairs to files, then components, then verdicts. The exact steps run a second time for
        the verdicts: cheaper than storing every document's way through them."""
        folder = storage.join(self.work, "edges")
        edges = self._find_edges(folder)
        if edges <= edge_limit:
            stars = storage.join(self.work, "stars")
            connect_files(folder, stars)
        else:
            stars = self._rounds_of_stars(folder)
        star_files = storage.list_files(stars, ".parquet")

        def build(pipeline: beam.Pipeline) -> None:
            keys = self._keys(pipeline)
            members = keys | "Exact" >> SettleExact(self.settings)
            rows = (members, read_edges(pipeline, star_files)) | "Verdicts" >> NearVerdicts()
            self._write(keys, rows)

        engine.run(build, self.options)

    def _find_edges(self, folder: str) -> int:
        counts = storage.join(self.work, "edges.json")

        def build(pipeline: beam.Pipeline) -> None:
            members = self._keys(pipeline) | "Exact" >> SettleExact(self.settings)
            edges = members | "BandEdges" >> BandEdges()
            edges | "WriteEdges" >> WriteEdges(folder)
            edges | "One" >> beam.Map(_named_one, "edges") | "Count" >> WriteCounts(counts)

        engine.run(build, self.options)
        return read_counts(counts).get("edges", 0)

    def _rounds_of_stars(self, folder: str) -> str:
        for number in range(MAX_ROUNDS):
            files = storage.list_files(folder, ".parquet")
            counts = storage.join(self.work, f"round-{number}.json")
            following = storage.join(self.work, f"round-{number}")
            engine.run(_round_builder(files, following, counts), self.options)
            storage.remove_folder(folder)
            folder = following
            if not read_counts(counts).get("changed", 0):
                return folder
        raise ReconcileError(f"connected components did not settle in {MAX_ROUNDS} rounds")

    def _keys(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "KeyFiles" >> beam.Create(self.key_files, reshuffle=False)
            | "SpreadKeyFiles" >> beam.Reshuffle()
            | "ReadKeys" >> beam.FlatMap(read_keys)
        )

    def _write(self, keys: beam.PCollection, rows: beam.PCollection) -> None:
        (
            (
                keys | "In" >> beam.Map(_named_one, "in"),
                rows | "Dropped" >> beam.FlatMap(_dropped),
            )
            | "Counted" >> beam.Flatten()
            | "WriteCounts" >> WriteCounts(self.counts_file)
        )
        rows | "WriteClusters" >> WriteClusters(self.target, self.cluster_files)


def _round_builder(files: list[str], folder: str, counts: str) -> Callable[[beam.Pipeline], None]:
    def build(pipeline: beam.Pipeline) -> None:
        edges, changed = read_edges(pipeline, files) | "Round" >> StarRound()
        edges | "WriteEdges" >> WriteEdges(folder)
        changed | "One" >> beam.Map(_named_one, "changed") | "Count" >> WriteCounts(counts)

    return build


def _named_one(_: Any, name: str) -> tuple[str, int]:
    return name, 1


def _dropped(plain: tuple[Any, ...]) -> Iterator[tuple[str, int]]:
    row = ClusterRow(*plain)
    if not row.kept:
        yield row.method, 1


def _reconcile(total: int, settings: Dedup, counted: dict[str, int]) -> DedupCounts:
    read = counted.pop("in", 0)
    if read != total:
        raise ReconcileError(f"dedup read {read} documents, the key files hold {total}")
    steps = {
        "url": settings.url,
        "exact": settings.exact,
        "minhash": settings.minhash is not None,
    }
    dropped = {name: counted.pop(name, 0) for name, runs in steps.items() if runs}
    if counted:
        raise ReconcileError(f"dedup dropped documents by steps that did not run: {counted}")
    return DedupCounts(total, total - sum(dropped.values()), dropped)
