"""What each phase has to do, before it is laid out on machines."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.scaling.unit_costs import UnitCosts
from pipelines.scaling.work import (
    BANDS,
    CLUSTER_ROWS_PER_FILE,
    EDGE_LIMIT,
    EXTRACT_FILES,
    FINISH_FILES,
    PACK_FILES,
    READS,
    SAMPLE_BYTES,
    SEGMENTS_IN_FLIGHT,
    TOKENIZE_FILES,
    WRITES,
    Cluster,
    Crawl,
    Load,
    held_bytes,
    parts_of,
    references_of,
    requests_of_a_task,
    rows_of_report,
    runs_of,
    shards_of,
    tasks_of,
)

_NAME_BYTES = 32
"""Of a task's name, in the list of a part's."""
_PART_BYTES = 150_000_000
"""Facts of a part at their largest: two lists of 200,000 hosts (pipelines.report.facts) in CPython,
as a table and as JSON."""


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
    rows = cluster.bundles * SEGMENTS_IN_FLIGHT * held_bytes(crawl, cluster, costs)
    return Load(
        "extract",
        tasks,
        child_seconds,
        parent_seconds,
        shuffle_bytes=tasks * costs.extract_task_bytes,
        reads=tasks * (2 + reads),
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
        reads=tasks_of(crawl, cluster) * min(jobs, 2) + files * READS,
        writes=files * WRITES,
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
        reads=tasks * (4 + reads),
        writes=tasks * writes,
        files=tasks * (FINISH_FILES + 1),
        memory_bytes=cluster.processes
        * (process + cluster.bundles * held_bytes(crawl, cluster, costs)),
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
        reads=tasks * (2 + reads),
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


def summarize_load(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> Load:
    """Phase 5, first: the rows counted in parts; nothing where the report reads them by itself."""
    parts, tasks = parts_of(crawl, cluster), tasks_of(crawl, cluster)
    shuffled = parts * costs.tokenize_task_bytes + tasks * _NAME_BYTES
    reads, writes = requests_of_a_task(0)
    return Load(
        "summarize",
        parts,
        0.0,
        (rows_of_report(crawl) * costs.report_row_ms + parts * costs.report_part_ms) / 1000,
        shuffle_bytes=shuffled if parts else 0.0,
        reads=tasks * FINISH_FILES + parts * reads,
        writes=parts * writes,
        files=parts,
        memory_bytes=cluster.processes * (costs.process_bytes + cluster.bundles * _PART_BYTES),
        serial_seconds=costs.pack_start_seconds,
    )


LOADS: tuple[Callable[[Crawl, Cluster, UnitCosts], Load], ...] = (
    extract_load,
    dedup_load,
    finish_load,
    tokenizer_load,
    tokenize_load,
    pack_load,
    summarize_load,
)
"""The phases in the order of a run."""
