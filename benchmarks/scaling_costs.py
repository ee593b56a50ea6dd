"""From what was measured to unit costs: differences between runs, so that starting falls out."""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.scaling_runs import Run, edges_per_duplicate, folder_bytes
from pipelines.scaling.unit_costs import UnitCosts
from pipelines.scaling.work import EXTRACT_FILES, FINISH_FILES, SEGMENTS_IN_FLIGHT, TOKENIZE_FILES

DROPPED_SHARE = 0.4
"""Of made-up documents; each agrees with another one in SHARED_BANDS."""
SHARED_BANDS = 6


class Measured(NamedTuple):
    """All of one measurement."""

    runs: dict[str, Run]
    pages: dict[str, float]
    """Of scaling_runs.page_costs."""
    page_kb: float
    """Of the files that `pages` and the run `part` read."""
    keys: list[dict[str, Any]]
    """Of scaling_shuffles.dedup_rows: two sizes, each without and with duplicates, each in one job
    and over files."""
    a_task: dict[str, float]
    """Bytes shuffled for a task, by phase; and for a member of a cluster."""
    driver: dict[str, Any]


def costs_of(measured: Measured) -> UnitCosts:
    """Every unit cost."""
    groups = (_pages, _starts, _tasks, _dedup, _documents, _shuffles, _memory, _driver)
    costs: dict[str, float] = {}
    for group in groups:
        costs |= group(measured)
    return UnitCosts(**costs)


def _pages(measured: Measured) -> dict[str, float]:
    """The form of the costs is that of pages measured one by one, their level that of a run."""
    tiny, tiny3, part = (measured.runs[name] for name in ("tiny-1", "tiny-3", "part"))
    pages, kb = measured.pages, measured.page_kb
    every = pages["page_ms"] + pages["page_ms_per_kb"] * kb
    extracted = pages["extracted_ms"] + pages["extracted_ms_per_kb"] * kb
    fitted = (part.pages * every + part.extracted * extracted) / 1000
    level = part.in_children / fitted
    child_start = (tiny3.cpu("extract") - tiny.cpu("extract")) / 2
    pool = part.cpu("extract") - tiny.cpu("extract") - part.in_children
    pool -= part.tasks * _tasks(measured)["extract_task_ms"] / 1000
    read_ms_per_kb = 1000 * part.step("read") / part.pages / kb
    return {
        **{name: level * ms for name, ms in pages.items()},
        "pool_ms": max(0.0, 1000 * pool / part.pages - read_ms_per_kb * kb),
        "pool_ms_per_kb": read_ms_per_kb,
        "child_start_seconds": child_start,
        "extract_start_seconds": tiny.cpu("extract") - child_start,
    }


def _starts(measured: Measured) -> dict[str, float]:
    tiny, tiny3 = measured.runs["tiny-1"], measured.runs["tiny-3"]
    scrub_start = (tiny3.cpu("finish") - tiny.cpu("finish")) / 2
    phases = sum(phase["seconds"] for phase in tiny.record["phases"])
    return {
        "dedup_start_seconds": tiny.cpu("dedup"),
        "finish_start_seconds": tiny.cpu("finish") - scrub_start,
        "scrub_start_seconds": scrub_start,
        "pack_start_seconds": tiny.cpu("pack") / 3,
        "account_seconds": max(0.0, tiny.record["seconds"] - phases),
    }


def _tasks(measured: Measured) -> dict[str, float]:
    files = measured.driver["files"]
    write, read, marker = (files[f"{name}_ms"] for name in ("write_file", "read_file", "marker"))
    part = measured.runs["part"]
    return {
        "extract_task_ms": EXTRACT_FILES * write + marker,
        "finish_task_ms": FINISH_FILES * (write + read) + marker,
        "tokenize_task_ms": TOKENIZE_FILES * write + read + marker,
        "task_spread": max(part.task_cpu_seconds) * part.tasks / sum(part.task_cpu_seconds),
    }


def _between(measured: Measured, share: float, over_files: bool, field: str) -> float:
    """Of a row, from two numbers of rows: what a job costs whatever its size falls out."""
    offset = (2 if share else 0) + (1 if over_files else 0)
    small, large = measured.keys[offset], measured.keys[offset + 4]
    return float((large[field] - small[field]) / (large["rows"] - small["rows"]))


def _dedup(measured: Measured) -> dict[str, float]:
    def between(share: float, over_files: bool, field: str) -> float:
        return _between(measured, share, over_files, field)

    edges = DROPPED_SHARE * SHARED_BANDS
    one, over = between(0, False, "shuffle_bytes"), between(0, True, "shuffle_bytes")
    dropped = between(DROPPED_SHARE, False, "shuffle_bytes") - one
    stars = between(DROPPED_SHARE, True, "shuffle_bytes") - over - dropped
    over_cpu = between(0, True, "cpu_seconds")
    stars_cpu = between(DROPPED_SHARE, True, "cpu_seconds") - over_cpu
    return {
        "dedup_row_ms": 1000 * between(DROPPED_SHARE, False, "cpu_seconds"),
        "dedup_row_ms_over_files": 1000 * over_cpu,
        "dedup_edge_ms": 1000 * max(stars_cpu, 0.0) / edges,
        "dedup_row_bytes": one,
        "dedup_row_bytes_over_files": over,
        "dedup_dropped_bytes": dropped / DROPPED_SHARE,
        "dedup_edge_bytes": stars / edges,
        "edges_per_duplicate": edges_per_duplicate(measured.runs["check-1"]),
        "star_rounds": float(measured.keys[-1]["rounds"]),
    }


def _documents(measured: Measured) -> dict[str, float]:
    tiny, part, driver = measured.runs["tiny-1"], measured.runs["part"], measured.driver

    def of_a_document(step: str) -> float:
        spent = part.step(step) - tiny.step(step)
        return max(0.0, 1000 * spent / (part.final - tiny.final))

    scrubbed = part.cpu("finish") - tiny.cpu("finish") - part.step("pii") - part.step("finish")
    read = driver["sample"]["sample_document_ms"]
    return {
        "scrub_document_ms": 1000 * part.step("pii") / part.final,
        "scrub_sample_ms": max(0.0, 1000 * scrubbed / (part.pages - part.final)),
        "finish_row_ms": 1000 * part.step("finish") / part.pages,
        "tokenize_document_ms": of_a_document("tokenize"),
        "sample_document_ms": read,
        "train_document_ms": max(0.0, of_a_document("tokenizer") - read),
        "pack_document_ms": of_a_document("pack"),
        "pack_reference_ms": driver["index"]["pack_reference_ms"],
        "index_row_us": driver["index"]["index_row_us"],
        "tokens_per_document": part.tokens / part.final,
        "text_bytes_per_document": part.text_bytes / part.final,
        "work_bytes_per_document": folder_bytes(part.output / ".work") / part.final,
        "output_bytes_per_document": folder_bytes(part.output) / part.final
        - folder_bytes(part.output / ".work") / part.final,
    }


def _shuffles(measured: Measured) -> dict[str, float]:
    a_task = measured.a_task
    return {
        "extract_task_bytes": a_task["extract"],
        "finish_task_bytes": a_task["finish"],
        "finish_member_bytes": a_task["member"],
        "tokenize_task_bytes": a_task["tokenize"],
        "pack_reference_bytes": a_task["pack"] - a_task["tokenize"],
    }


def _memory(measured: Measured) -> dict[str, float]:
    runs, driver = measured.runs, measured.driver
    few, more, part = (runs[name] for name in ("few-1", "few-3", "part"))
    child = (more.peak_bytes - few.peak_bytes) / 2
    held = part.kept * driver["held"]["held_bytes_kept"]
    held += (part.pages - part.kept) * driver["held"]["held_bytes_rejected"]
    in_flight = SEGMENTS_IN_FLIGHT * held / part.tasks
    document = driver["index"]["packed_document_bytes"] + driver["docs"]["docs_memory_bytes"]
    return {
        "process_bytes": part.peak_bytes - child - in_flight,
        "child_bytes": child,
        **driver["held"],
        "packed_document_bytes": document + 2 * part.tokens / part.final,
        "local_shuffle_memory": driver["shuffling"]["grown_bytes"]
        / driver["shuffling"]["shuffle_bytes"],
    }


def _driver(measured: Measured) -> dict[str, float]:
    driver = measured.driver
    small, large, markers = (driver[name] for name in ("plan_small", "plan_large", "markers"))

    def a_task(field: str) -> float:
        return float((large[field] - small[field]) / (large["tasks"] - small["tasks"]))

    return {
        "plan_task_ms": 1000 * a_task("cpu_seconds"),
        "plan_task_bytes": a_task("plan_bytes"),
        "plan_task_memory_bytes": a_task("grown_bytes"),
        "graph_task_bytes": a_task("graph_bytes_listed"),
        "marker_ms": 1000 * markers["cpu_seconds"] / markers["count"],
        "marker_memory_bytes": markers["held_bytes"] / markers["count"],
        "report_row_ms": driver["report"]["report_row_ms"],
        "report_part_ms": driver["parts"]["report_part_ms"],
        **driver["tokens"],
        **driver["docs"],
    }
