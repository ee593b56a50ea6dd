"""What grows with a crawl besides the work: the driver's own steps, and what breaks first."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.lookups import AT_ONCE
from pipelines.scaling.layout import predict
from pipelines.scaling.unit_costs import UnitCosts
from pipelines.scaling.work import (
    EXTRACT_FILES,
    FINISH_FILES,
    TOKENIZE_FILES,
    Cluster,
    Crawl,
    parts_of,
    references_of,
    rows_of_report,
    shards_of,
    tasks_of,
)

LIST_PAGE = 1_000
"""Objects that a store returns for one listing request (Google Cloud Storage and S3)."""
GRAPH_LIMIT_BYTES = 10_000_000
"""Dataflow: "job graph size must not exceed 10 MB" (docs.cloud.google.com/dataflow
/docs/request-quotas; the JSON request may have 20 MB)."""
DRIVER_MEMORY_BYTES = 16e9
MEMORY_PER_CORE_BYTES = 4e9
"""Usual machines: n2-standard and e2-standard have 4 GB a vCPU."""
PATIENCE_SECONDS = 3600.0
"""What one step of the driver may take while a whole cluster waits."""
HOT_GROUP = 10_000
"""As pipelines.phases.least.HOT_GROUP: documents of one key from which on it is a hot one."""
HOT_KEY_BYTES = 200
"""Of a hot key where a worker looks it up: 49 for the key, 32 for the count (sys.getsizeof), and
its place in a table."""
SIDE_INPUT_BYTES = 100_000_000
"""What a process can hold beside its work; every worker process reads it whole."""
REFERENCES_LIMIT = 10_000_000
"""Two requests each: at 5,000 a second more than an hour of nothing else."""


class Step(NamedTuple):
    """What the driver does alone."""

    name: str
    seconds: float
    requests: float
    memory_bytes: float


class Limit(NamedTuple):
    """Something that grows, what is usual or allowed, and what to do above it."""

    what: str
    amount: float
    limit: float
    unit: str
    answer: str

    @property
    def broken(self) -> bool:
        """Whether it is above."""
        return self.amount > self.limit


def driver_steps(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> list[Step]:
    """From listing the inputs to the report; markers are read after each phase of tasks."""
    tasks, wait = tasks_of(crawl, cluster), cluster.call_seconds
    shards = shards_of(crawl, cluster, costs)
    listed = crawl.files / LIST_PAGE
    plan_seconds = tasks * costs.plan_task_ms / 1000
    markers = tasks * (1 + (EXTRACT_FILES + FINISH_FILES + TOKENIZE_FILES + 3) / LIST_PAGE / 3)
    marker_seconds = tasks * costs.marker_ms / 1000 + markers * wait / AT_ONCE
    held = tasks * costs.marker_memory_bytes
    plan_memory = tasks * costs.plan_task_memory_bytes
    parts, rows = parts_of(crawl, cluster), rows_of_report(crawl)
    counted_ms = parts * costs.report_part_ms if parts else rows * costs.report_row_ms
    report_ms = counted_ms + crawl.final * costs.report_document_us / 1000
    report_reads = parts or tasks * FINISH_FILES
    docs = crawl.final / shards * costs.docs_memory_bytes
    docs_seconds = shards * wait + crawl.final * costs.docs_row_us / 1e6
    return [
        Step("list the inputs", listed * wait, listed, 0.0),
        Step("plan", plan_seconds, 1.0, plan_memory),
        Step("markers of three phases", 3 * marker_seconds, 3 * markers, plan_memory + 3 * held),
        Step("docs.parquet and manifest", docs_seconds, shards, docs),
        Step(
            "report",
            report_ms / 1000 + report_reads * wait,
            report_reads,
            plan_memory + 3 * held,
        ),
    ]


def limits(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> list[Limit]:
    """Everything that was found to break as a crawl grows, whether it does here or not."""
    tasks = tasks_of(crawl, cluster)
    steps = {step.name: step for step in driver_steps(crawl, cluster, costs)}
    phases = predict(crawl, cluster, costs)
    fullest = max(phases, key=lambda phase: phase.load.memory_bytes).load
    markers = steps["markers of three phases"]
    return [
        Limit(
            "graph of a job",
            tasks * costs.graph_task_bytes,
            GRAPH_LIMIT_BYTES,
            "bytes",
            "larger --segment-mb",
        ),
        Limit(
            "driver: plan and markers",
            markers.memory_bytes,
            DRIVER_MEMORY_BYTES,
            "bytes",
            "larger --segment-mb",
        ),
        Limit(
            "driver: reading markers",
            markers.seconds,
            PATIENCE_SECONDS,
            "seconds",
            "larger --segment-mb",
        ),
        Limit(
            "driver: joining docs.parquet",
            steps["docs.parquet and manifest"].seconds,
            PATIENCE_SECONDS,
            "seconds",
            "several runs of fewer files",
        ),
        Limit(
            "driver: report",
            steps["report"].seconds,
            PATIENCE_SECONDS,
            "seconds",
            "several runs of fewer files",
        ),
        Limit(
            "dedup: hot keys, a side input, at most",
            crawl.kept / HOT_GROUP * HOT_KEY_BYTES,
            SIDE_INPUT_BYTES,
            "bytes",
            "several runs of fewer files",
        ),
        Limit(
            "pack: references, runs times shards",
            references_of(crawl, cluster, costs),
            REFERENCES_LIMIT,
            "references",
            "larger shards.tokens_per_shard",
        ),
        Limit(
            f"memory of a machine in {fullest.name}",
            fullest.memory_bytes,
            cluster.cores * MEMORY_PER_CORE_BYTES,
            "bytes",
            "smaller --segment-mb; one bundle at a time "
            "(--number_of_worker_harness_threads=1); smaller shards.tokens_per_shard",
        ),
    ]
