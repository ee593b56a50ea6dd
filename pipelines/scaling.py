"""What curating a crawl takes on N machines: CPU, wall clock, memory, shuffle, files, requests.

Plain arithmetic over measured unit costs (pipelines.unit_costs). docs/scaling.md tells how they
were measured, how far the model is from real runs, and what breaks first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from pipelines.unit_costs import UnitCosts

SEGMENTS_IN_FLIGHT = 2
"""Tasks that a bundle of extract works on at a time (pipelines.phases.extract)."""
EDGE_LIMIT = 5_000_000
"""As pipelines.phases.dedup.EDGE_LIMIT, which cannot be imported without Beam."""
BANDS = 14
"""Of the recipe `fineweb`."""
CLUSTER_ROWS_PER_FILE = 250_000
"""As pipelines.phases.dedup: documents for each file of clusters."""
FEW_REFERENCES = 200_000
"""As pipelines.phases.merge.FEW_REFERENCES."""
SAMPLE_BYTES = 50_000_000
"""Recipe default of tokenizer.sample_bytes."""
EXTRACT_FILES, FINISH_FILES, TOKENIZE_FILES, PACK_FILES = 4, 3, 2, 3
"""Files that a task of a phase leaves, besides its marker."""
CALLS_TO_WRITE = {"create": 1, "exists": 2, "rename": 1}
"""Of Beam's file system, to write one file whole (pipelines.storage)."""
_WRITES, _READS = 3, 2
"""Requests behind these calls: a rename copies and deletes."""
STORE_READS_PER_SECOND = 5_000
STORE_WRITES_PER_SECOND = 1_000
"""What a bucket of Google Cloud Storage takes at first; it grows within minutes
(docs.cloud.google.com/storage/docs/request-rate). S3: 5,500 and 3,500 a partitioned prefix."""


class Crawl(NamedTuple):
    """What is to be curated."""

    files: int
    file_bytes: float
    """Compressed."""
    pages: float
    """Records that can hold a page, in all files."""
    page_kb: float
    """Mean body, uncompressed; 1 kB is 1,000 bytes."""
    extracted_share: float
    """Of the pages: those that come as far as text extraction."""
    kept_share: float
    """Of the pages: those kept by the rules, before deduplication."""
    dropped_share: float
    """Of the kept: those that deduplication drops."""
    near_share: float
    """Of the kept: those that it drops as near duplicates, by MinHash."""

    @property
    def kept(self) -> float:
        """Documents before deduplication."""
        return self.pages * self.kept_share

    @property
    def final(self) -> float:
        """Documents in the end."""
        return self.kept * (1 - self.dropped_share)

    def scaled(self, files: int) -> Crawl:
        """So many files of the same kind."""
        return self._replace(files=files, pages=self.pages * files / self.files)


CC_MAIN_2024_22 = Crawl(
    files=90_000,
    file_bytes=78.62 * 2**40 / 90_000,
    pages=2_709_877_975,
    page_kb=377 * 2**40 / 2_709_877_975 / 1000,
    extracted_share=0.50,
    kept_share=0.23,
    dropped_share=0.40,
    near_share=0.40,
)
"""The crawl of May 2024. Pages: github.com/commoncrawl/cc-crawl-statistics,
plots/crawlsize/monthly.csv. 377 TiB uncompressed: its announcement on commoncrawl.org/blog; that
counts headers and requests, so bodies are a little less. 78.62 compressed:
github.com/eugenesiow/LLM-Insights, dataengineering/cc, whose figures are Common Crawl's own in TiB
where both are known (28.94 for CC-MAIN-2016-40). Shares: RefinedWeb (arXiv 2306.01116, figure 2)
has 48 % left after URLs and language and 23 % after quality; MinHash drops 40 % of those. The
gate lets a little more through than the language rule: 50 %."""


class Cluster(NamedTuple):
    """Where it is done, and how it is cut."""

    machines: int
    cores: int
    processes: int
    """Worker processes a machine; a cluster's runner starts one a core."""
    children: int
    """Child processes of each (--workers)."""
    segment_bytes: float
    """--segment-mb."""
    bundles: int = 1
    """Bundles that a process works on at a time (Dataflow: number_of_worker_harness_threads)."""
    tokens_per_shard: float = 1e8
    call_seconds: float = 0.0
    """Latency of a request of the store; 0: a local disk."""
    job_seconds: float = 0.0
    """From the submission of a job until its workers work."""
    holds_shuffle: bool = False
    """Whether the worker process holds what is shuffled, as the local runner does."""

    @property
    def slots(self) -> int:
        """Processors that can be at work."""
        return self.machines * min(self.cores, self.processes * max(self.children, 1))


class Load(NamedTuple):
    """What a phase has to do, before it is laid out on machines."""

    name: str
    tasks: float
    child_cpu_seconds: float
    """Spread over the children."""
    parent_cpu_seconds: float
    """In the worker processes themselves, of which each uses one processor."""
    shuffle_bytes: float
    reads: float
    """Requests of the store that read or list."""
    writes: float
    files: float
    memory_bytes: float
    """Of one machine."""
    jobs: int = 1
    divisible: bool = False
    """Cut by keys into pieces as small as needed, not by tasks."""
    serial_seconds: float = 0.0
    """On one processor, before anything else of the phase."""
    start_cpu_seconds: float = 0.0
    """Starting all children."""

    @property
    def cpu_seconds(self) -> float:
        """Of all processes."""
        work = self.child_cpu_seconds + self.parent_cpu_seconds
        return work + self.serial_seconds + self.start_cpu_seconds


class Phase(NamedTuple):
    """A phase on a cluster."""

    load: Load
    seconds_at_best: float
    """Work spread evenly, but never less than the longest task."""
    seconds_at_most: float
    """The longest task starts last."""
    bottleneck: str


def tasks_of(crawl: Crawl, cluster: Cluster) -> float:
    """Segments that the files are cut into; at least one a file."""
    return crawl.files * max(1, math.ceil(crawl.file_bytes / cluster.segment_bytes))


def shards_of(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> float:
    """Shards of all splits, as many as the tokens need."""
    return max(1.0, crawl.final * costs.tokens_per_document / cluster.tokens_per_shard)


def runs_of(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> float:
    """Sorted runs that shards are put together from: tasks, or where tasks times shards are many,
    tasks merged by as many as hold a shard's tokens (pipelines.phases.merge)."""
    tasks, shards = tasks_of(crawl, cluster), shards_of(crawl, cluster, costs)
    if tasks * shards <= FEW_REFERENCES or tasks < 2 * shards:
        return tasks
    return math.ceil(tasks / math.ceil(tasks / shards))


def references_of(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> float:
    """Consecutive rows of one run in one shard: runs times shards, while a run has documents for
    every shard."""
    shards = shards_of(crawl, cluster, costs)
    return min(crawl.final, runs_of(crawl, cluster, costs) * shards)


def requests_of_a_task(files: int) -> tuple[int, int]:
    """(reads, writes) of a store to leave so many files and the marker, which holds their sizes."""
    return _READS * (files + 1) + files, _WRITES * (files + 1)


def _held_bytes(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> float:
    """Rows of one task of extract."""
    rejected = 1 - crawl.kept_share
    page = crawl.kept_share * costs.held_bytes_kept + rejected * costs.held_bytes_rejected
    return crawl.pages / tasks_of(crawl, cluster) * page


def extract_load(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> Load:
    """Phase 1: pages through refine() in children."""
    tasks = tasks_of(crawl, cluster)
    page_ms = costs.page_ms + costs.page_ms_per_kb * crawl.page_kb
    extracted_ms = costs.extracted_ms + costs.extracted_ms_per_kb * crawl.page_kb
    pool_ms = costs.pool_ms + costs.pool_ms_per_kb * crawl.page_kb
    children = cluster.machines * cluster.processes * cluster.children
    child_seconds = crawl.pages * (page_ms + crawl.extracted_share * extracted_ms) / 1000
    parent_seconds = (crawl.pages * pool_ms + tasks * costs.extract_task_ms) / 1000
    reads, writes = requests_of_a_task(EXTRACT_FILES)
    process = costs.process_bytes + cluster.children * costs.child_bytes
    rows = cluster.bundles * SEGMENTS_IN_FLIGHT * _held_bytes(crawl, cluster, costs)
    return Load(
        "extract",
        tasks,
        child_seconds,
        parent_seconds,
        shuffle_bytes=tasks * costs.extract_task_bytes,
        reads=tasks * (1 + reads),
        writes=tasks * writes,
        files=tasks * (EXTRACT_FILES + 1),
        memory_bytes=cluster.processes * (process + rows),
        serial_seconds=costs.extract_start_seconds,
        start_cpu_seconds=children * costs.child_start_seconds,
    )


def dedup_load(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> Load:
    """Phase 2: keys through shuffles. Above EDGE_LIMIT possible pairs in several jobs, the exact
    steps twice; above EDGE_LIMIT pairs found, rounds of stars over them."""
    rows = crawl.kept
    one_job = rows * BANDS <= EDGE_LIMIT
    edges = 0.0 if one_job else rows * crawl.near_share * costs.edges_per_duplicate
    rounds = round(costs.star_rounds) if edges > EDGE_LIMIT else 0
    row_ms, row_bytes = costs.dedup_row_ms, costs.dedup_row_bytes
    if not one_job:
        row_ms, row_bytes = costs.dedup_row_ms_over_files, costs.dedup_row_bytes_over_files
    jobs, files = 1 if one_job else 2 + rounds, max(1.0, rows / CLUSTER_ROWS_PER_FILE)
    shuffled = rows * (row_bytes + crawl.dropped_share * costs.dedup_dropped_bytes)
    shuffled += edges * costs.dedup_edge_bytes
    held = shuffled / jobs * costs.local_shuffle_memory if cluster.holds_shuffle else 0.0
    return Load(
        "dedup",
        tasks_of(crawl, cluster),
        0.0,
        (rows * row_ms + edges * costs.dedup_edge_ms) / 1000,
        shuffle_bytes=shuffled,
        reads=tasks_of(crawl, cluster) * min(jobs, 2) + files * _READS,
        writes=files * _WRITES,
        files=files,
        memory_bytes=cluster.processes * costs.process_bytes + held,
        jobs=jobs,
        divisible=True,
        serial_seconds=jobs * costs.dedup_start_seconds,
    )


def finish_load(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> Load:
    """Phase 3: the texts again, less duplicates, scrubbed; samples of the rejected scrubbed too."""
    tasks, rejected = tasks_of(crawl, cluster), crawl.pages - crawl.final
    children = cluster.machines * cluster.processes * cluster.children
    members = crawl.kept * min(1.0, 2 * crawl.dropped_share)
    scrub_ms = crawl.final * costs.scrub_document_ms + rejected * costs.scrub_sample_ms
    rows_ms = crawl.pages * costs.finish_row_ms + tasks * costs.finish_task_ms
    reads, writes = requests_of_a_task(FINISH_FILES)
    process = costs.process_bytes + cluster.children * costs.child_bytes
    return Load(
        "finish",
        tasks,
        scrub_ms / 1000,
        rows_ms / 1000,
        shuffle_bytes=tasks * costs.finish_task_bytes + members * costs.finish_member_bytes,
        reads=tasks * (3 + reads),
        writes=tasks * writes,
        files=tasks * (FINISH_FILES + 1),
        memory_bytes=cluster.processes
        * (process + cluster.bundles * _held_bytes(crawl, cluster, costs)),
        serial_seconds=costs.finish_start_seconds,
        start_cpu_seconds=children * costs.scrub_start_seconds,
    )


def tokenizer_load(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> Load:
    """Phase 4, first: a tokenizer from a sample of bounded size, trained by one worker."""
    sampled = min(crawl.final, SAMPLE_BYTES / costs.text_bytes_per_document)
    tasks = tasks_of(crawl, cluster)
    return Load(
        "tokenizer",
        tasks,
        0.0,
        crawl.final * costs.sample_document_ms / 1000,
        shuffle_bytes=0.0,
        reads=tasks,
        writes=0.0,
        files=0.0,
        memory_bytes=cluster.processes * costs.process_bytes,
        serial_seconds=costs.pack_start_seconds + sampled * costs.train_document_ms / 1000,
    )


def tokenize_load(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> Load:
    """Phase 4, second: a task's documents as sorted tokens."""
    tasks = tasks_of(crawl, cluster)
    cpu_ms = crawl.final * costs.tokenize_document_ms + tasks * costs.tokenize_task_ms
    reads, writes = requests_of_a_task(TOKENIZE_FILES)
    held = crawl.final / tasks * costs.held_bytes_kept
    return Load(
        "tokenize",
        tasks,
        0.0,
        cpu_ms / 1000,
        shuffle_bytes=tasks * costs.tokenize_task_bytes,
        reads=tasks * (1 + reads),
        writes=tasks * writes,
        files=tasks * (TOKENIZE_FILES + 1),
        memory_bytes=cluster.processes * (costs.process_bytes + cluster.bundles * held),
        serial_seconds=costs.pack_start_seconds,
    )


def pack_load(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> Load:
    """Phase 4, last: every shard from its range of every run. A reference reads the run's index,
    all of it, and a range of its tokens. Merging tasks to runs moves every token once more."""
    tasks, shards = tasks_of(crawl, cluster), shards_of(crawl, cluster, costs)
    runs, references = (f(crawl, cluster, costs) for f in (runs_of, references_of))
    merged = runs if runs < tasks else 0.0
    index_us = references * crawl.final / runs * costs.index_row_us
    documents = crawl.final * (2 if merged else 1)
    cpu_ms = documents * costs.pack_document_ms + references * costs.pack_reference_ms
    cpu_ms += index_us / 1000 + (tasks * costs.pack_reference_ms if merged else 0.0)
    reads, writes = requests_of_a_task(PACK_FILES)
    run_reads, run_writes = requests_of_a_task(TOKENIZE_FILES)
    held = crawl.final / shards * costs.packed_document_bytes
    return Load(
        "pack",
        shards,
        0.0,
        cpu_ms / 1000,
        shuffle_bytes=tasks * costs.tokenize_task_bytes + references * costs.pack_reference_bytes,
        reads=runs
        + (2 * tasks if merged else 0)
        + references * 2
        + shards * reads
        + merged * run_reads,
        writes=shards * writes + merged * run_writes,
        files=shards * (PACK_FILES + 1) + merged * (TOKENIZE_FILES + 1),
        memory_bytes=cluster.processes * (costs.process_bytes + cluster.bundles * held),
        serial_seconds=costs.pack_start_seconds,
    )


LOADS: tuple[Callable[[Crawl, Cluster, UnitCosts], Load], ...] = (
    extract_load,
    dedup_load,
    finish_load,
    tokenizer_load,
    tokenize_load,
    pack_load,
)
"""The phases in the order of a run."""


def lay_out(load: Load, cluster: Cluster, costs: UnitCosts) -> Phase:
    """A phase's wall clock.

    The work takes the longest of: children, worker processes (which also wait for the store),
    all processors, the store's rate. Tasks are not divided: at best the wall clock is that or
    the longest task; at most the longest task starts when all else is done (Graham 1969, "Bounds
    on multiprocessing timing anomalies", has a factor 1 - 1/m on it for m processors).
    """
    tasks = max(load.tasks, 1.0)
    parallel = load.child_cpu_seconds + load.parent_cpu_seconds
    waiting = (load.reads + load.writes) * cluster.call_seconds
    processes = cluster.machines * min(cluster.processes * cluster.bundles, cluster.cores)
    rates = max(load.reads / STORE_READS_PER_SECOND, load.writes / STORE_WRITES_PER_SECOND)
    bounds = {
        "children": load.child_cpu_seconds / cluster.slots,
        "worker processes": (load.parent_cpu_seconds + waiting) / min(processes, tasks),
        "processors": parallel / (cluster.machines * cluster.cores),
        "rate of the store": rates if cluster.call_seconds else 0.0,
    }
    name = max(bounds, key=lambda bound: bounds[bound])
    longest = 0.0
    if not load.divisible:
        longest = costs.task_spread * (parallel + waiting) / tasks
    start = load.jobs * cluster.job_seconds + load.serial_seconds
    start += load.start_cpu_seconds / cluster.slots
    best = max(bounds[name], longest)
    most = max(best, bounds[name] + longest * (1 - 1 / tasks))
    return Phase(load, start + best, start + most, name if best > longest else "longest task")


def predict(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> list[Phase]:
    """The phases in order."""
    return [lay_out(load(crawl, cluster, costs), cluster, costs) for load in LOADS]
