"""What one page, document, task or process costs: measured, for pipelines.scaling.

`python -m benchmarks.scaling measure` measures all of it and writes a file that `UnitCosts.read`
takes; FINEWEB is one, for recipe `fineweb` on two virtual cores with Python 3.11. docs/scaling.md
tells how.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from schemas.errors import InputError

FINEWEB = Path(__file__).parent / "fineweb.json"
"""Measured, and what it was measured from."""


class UnitCosts(NamedTuple):
    """CPU in ms or s of one processor, bytes, and counts; a document is a page that was kept."""

    # A page in a child: ms, and ms for each kB (1,000 bytes) of its body.
    page_ms: float
    page_ms_per_kb: float
    extracted_ms: float
    """On top, when the page comes as far as extraction."""
    extracted_ms_per_kb: float
    # A page in the worker process: reading, sending, rows, Parquet.
    pool_ms: float
    pool_ms_per_kb: float
    # Starting.
    extract_start_seconds: float
    """A job that does next to nothing, children apart; likewise below."""
    dedup_start_seconds: float
    finish_start_seconds: float
    pack_start_seconds: float
    """Each of the jobs tokenizer, tokenize and pack."""
    child_start_seconds: float
    scrub_start_seconds: float
    account_seconds: float
    """The driver around the phases: plan, report."""
    # A task, whatever is in it.
    extract_task_ms: float
    finish_task_ms: float
    tokenize_task_ms: float
    task_spread: float
    """CPU of the longest of tasks of equal bytes, over the mean."""
    # Deduplication, a row being a document before it.
    dedup_row_ms: float
    dedup_row_ms_over_files: float
    """Where the pairs go over files: the exact steps run twice."""
    dedup_edge_ms: float
    """A pair of near duplicates, all rounds of stars together."""
    dedup_row_bytes: float
    dedup_row_bytes_over_files: float
    dedup_dropped_bytes: float
    """On top, for a row that is dropped: verdicts and clusters."""
    dedup_edge_bytes: float
    edges_per_duplicate: float
    """Bands that a near duplicate shares, at most all of them."""
    star_rounds: float
    # The documents that stay, and samples of the rejected.
    scrub_document_ms: float
    scrub_sample_ms: float
    finish_row_ms: float
    tokenize_document_ms: float
    sample_document_ms: float
    """Reading it to see whether it is in the sample for the tokenizer."""
    train_document_ms: float
    """A document of the sample, which is at most tokenizer.sample_bytes."""
    pack_document_ms: float
    pack_reference_ms: float
    """A reference to rows of one task's index: opening and reading two files."""
    index_row_us: float
    """A row of that index, which is read whole."""
    tokens_per_document: float
    text_bytes_per_document: float
    """In UTF-8."""
    # Shuffles.
    extract_task_bytes: float
    finish_task_bytes: float
    finish_member_bytes: float
    tokenize_task_bytes: float
    pack_reference_bytes: float
    # Memory.
    process_bytes: float
    child_bytes: float
    held_bytes_kept: float
    """Of a page that was kept, while its task is under way."""
    held_bytes_rejected: float
    packed_document_bytes: float
    """While its shard is put together."""
    local_shuffle_memory: float
    """Bytes of memory for a byte shuffled, where the local runner holds the shuffle."""
    # The driver.
    plan_task_ms: float
    plan_task_bytes: float
    plan_task_memory_bytes: float
    graph_task_bytes: float
    """Of a job graph, for each task that it names by lists in files."""
    marker_ms: float
    marker_memory_bytes: float
    report_row_ms: float
    report_part_ms: float
    """Merging the facts of a part: at their largest, with all hosts that are held."""
    report_document_us: float
    """A row of docs.parquet."""
    docs_row_us: float
    docs_memory_bytes: float
    """Of a document, one shard of them at a time, while docs.parquet is put together."""
    # Files, bytes on disk.
    work_bytes_per_document: float
    output_bytes_per_document: float

    @classmethod
    def read(cls, path: Path) -> UnitCosts:
        """Of a file that `benchmarks.scaling measure` wrote. Raises InputError."""
        try:
            costs = json.loads(path.read_text("utf-8"))["costs"]
            return cls(**{name: float(costs[name]) for name in cls._fields})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} holds no unit costs ({error}): write it with "
                "python -m benchmarks.scaling measure"
            ) from error
