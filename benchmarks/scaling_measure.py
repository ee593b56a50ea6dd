"""From runs to unit costs."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.scaling_costs import DROPPED_SHARE, Measured, costs_of
from benchmarks.scaling_runs import (
    Run,
    body_kb,
    curate,
    page_costs,
    read_run,
)
from benchmarks.scaling_shuffles import Shuffled, dedup_rows, shuffles
from benchmarks.warc_pages import dev_warcs
from pipelines.curate import CurateRequest
from pipelines.curate import curate as curate_here
from pipelines.pool import default_workers
from pipelines.recipes import load

CHECK_WORKERS = (1, 2, 4)
ROWS = (4_000, 16_000)
CUT_MB = "0.4"
"""So small that tasks cost more than what is in them."""
PLAN_FILES = (10_000, 90_000)
_MB = 1_000_000


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def measure(data: Path, output: Path, recipe: str) -> None:
    """Everything, one after the other; writes costs and raw figures as JSON."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        measured = _measure(data, Path(folder), recipe)
    measured["machine"] = {
        "machine": platform.machine(),
        "processors": default_workers(),
        "python": sys.version.split()[0],
        "seconds_to_measure": round(time.monotonic() - started, 1),
    }
    output.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    print(f"measured in {time.monotonic() - started:.0f} s: {output}")


def _measure(data: Path, folder: Path, recipe: str) -> dict[str, Any]:
    warcs, everything = dev_warcs(data), sorted((data / "warc_pages").glob("*.warc.gz"))
    _say("runs for the unit costs")
    runs = {
        "tiny-1": curate(warcs[:1], folder / "t1", 1, "--limit", "4", recipe=recipe),
        "tiny-3": curate(warcs[:1], folder / "t3", 3, "--limit", "4", recipe=recipe),
        "few-1": curate(warcs[:2], folder / "f1", 1, recipe=recipe),
        "few-3": curate(warcs[:2], folder / "f3", 3, recipe=recipe),
        "part": curate(warcs[:6], folder / "part", 1, recipe=recipe),
    }
    for workers in CHECK_WORKERS:
        name = f"check-{workers}"
        _say(f"run to check against, --workers {workers}")
        runs[name] = curate(everything, folder / name, workers, recipe=recipe)
    _say("pages, one by one")
    pages = page_costs(warcs[:6], recipe)
    _say("keys of made-up documents")
    keys = _keys(folder)
    _say("bytes of shuffles")
    traced = _per_task(warcs[:2], folder, recipe)
    whole, _ = _traced(everything, folder / "whole", recipe)
    _say("the driver")
    driver = _driver(runs["part"])
    costs = costs_of(Measured(runs, pages, body_kb(warcs[:6]), keys, traced, driver))
    return {
        "costs": costs._asdict(),
        "runs": {name: _summary(run) for name, run in runs.items()},
        "page_kb": {"check": body_kb(everything)},
        "shuffles": _bytes(whole),
        "dedup": keys,
        "driver": driver,
    }


def _summary(run: Run) -> dict[str, Any]:
    names = ("pages", "extracted", "kept", "final", "near", "members", "tasks", "workers")
    return {
        **{name: getattr(run, name) for name in names},
        "file_bytes": [file.stat().st_size for file in run.files],
        "phases": run.record["phases"],
        "steps": run.record["cpu_seconds_by_step"],
        "seconds": run.record["seconds"],
        "cpu_seconds": run.record["cpu_seconds"],
        "peak_memory_bytes": run.record["peak_memory_bytes"],
        "tokens": run.tokens,
    }


def _bytes(shuffled: Shuffled) -> dict[str, Any]:
    return {
        "grouped": {phase: dict(counts) for phase, counts in shuffled.grouped.items()},
        "side_inputs": {phase: dict(counts) for phase, counts in shuffled.side_inputs.items()},
    }


def _traced(
    files: list[Path], output: Path, recipe: str, cut_mb: float = 16
) -> tuple[Shuffled, Run]:
    request = CurateRequest(
        [str(file) for file in files],
        str(output),
        load(recipe),
        workers=1,
        segment_bytes=int(cut_mb * _MB),
    )
    with shuffles() as counted:
        curate_here(request, Console(stderr=True), quiet=True)
    return counted, read_run(files, output, 1)


def _per_task(files: list[Path], folder: Path, recipe: str) -> dict[str, float]:
    """Bytes through the shuffles of each phase for a task, from two ways to cut the same files."""
    whole, few = _traced(files, folder / "few", recipe)
    cut, many = _traced(files, folder / "many", recipe, cut_mb=float(CUT_MB))
    found = {
        phase: (cut.total(phase) - whole.total(phase)) / (many.tasks - few.tasks)
        for phase in ("extract", "finish", "tokenize", "pack")
    }
    left = whole.total("finish") - few.tasks * found["finish"]
    return found | {"member": max(0.0, left) / max(few.members, 1)}


def _keys(folder: Path) -> list[dict[str, Any]]:
    """Deduplication of made-up keys: in one job and over files, without and with duplicates."""
    found = []
    for rows in ROWS:
        for share in (0.0, DROPPED_SHARE):
            for limit in (10**9, 0):
                target = folder / f"keys-{rows}-{share}-{limit}"
                target.mkdir()
                found.append(dedup_rows(rows, share, limit, target))
    return found


def _driver(run: Run) -> dict[str, Any]:
    """Each in a process of its own, so that memory is that of the step."""
    found: dict[str, Any] = {}
    for name, what in {
        "plan_small": ["plan", "--files", str(PLAN_FILES[0])],
        "plan_large": ["plan", "--files", str(PLAN_FILES[1])],
        "markers": ["markers", "--count", "20000"],
        "report": ["report"],
        "parts": ["parts"],
        "tokens": ["tokens"],
        "held": ["held"],
        "index": ["index"],
        "files": ["files"],
        "sample": ["sample"],
        "docs": ["docs"],
    }.items():
        program = [sys.executable, "-m", "benchmarks.scaling_driver"]
        command = [*program, *what, "--run", str(run.output)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = json.loads(done.stdout)
    command = [sys.executable, "-m", "benchmarks.scaling_shuffles"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found["shuffling"] = json.loads(done.stdout)
    return found
