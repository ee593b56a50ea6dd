"""The crawl, the cluster, and how one is cut for the other."""

from __future__ import annotations

import math
from typing import NamedTuple

from pipelines.scaling.unit_costs import UnitCosts
from pipelines.summaries import LEAST_PARTS, ROWS_AT_ONCE

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
WRITES, READS = 3, 2
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


def parts_of(crawl: Crawl, cluster: Cluster) -> float:
    """Parts in which the rows are counted for the report; 0 where it reads them by itself."""
    if crawl.pages <= ROWS_AT_ONCE:
        return 0.0
    tasks = tasks_of(crawl, cluster)
    return min(tasks, max(math.isqrt(int(tasks)), LEAST_PARTS))


def rows_of_report(crawl: Crawl) -> float:
    """Every page ends as one row; a document of a cluster is another."""
    return crawl.pages + crawl.kept * min(1.0, 2 * crawl.dropped_share)


def requests_of_a_task(files: int) -> tuple[int, int]:
    """(reads, writes) of a store to leave so many files and the marker, which holds their sizes."""
    return READS * (files + 1) + files, WRITES * (files + 1)


def held_bytes(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> float:
    """Rows of one task of extract."""
    rejected = 1 - crawl.kept_share
    page = crawl.kept_share * costs.held_bytes_kept + rejected * costs.held_bytes_rejected
    return crawl.pages / tasks_of(crawl, cluster) * page
