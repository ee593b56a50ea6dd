"""What the model says of runs on this machine against what they took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.pool import default_workers
from pipelines.scaling.layout import predict
from pipelines.scaling.unit_costs import UnitCosts
from pipelines.scaling.work import Cluster, Crawl

PHASES = {
    "extract": ("extract",),
    "dedup": ("dedup",),
    "finish": ("finish",),
    "pack": ("tokenizer", "tokenize", "pack"),
}
"""Phases of run.json and those of the model that they hold."""
LARGE_SEGMENT = 16 * 1024 * 1024


def crawl_of(run: dict[str, Any], page_kb: float) -> Crawl:
    """A run's input, with the shares that it had."""
    return Crawl(
        files=len(run["file_bytes"]),
        file_bytes=sum(run["file_bytes"]) / len(run["file_bytes"]),
        pages=run["pages"],
        page_kb=page_kb,
        extracted_share=run["extracted"] / run["pages"],
        kept_share=run["kept"] / run["pages"],
        dropped_share=1 - run["final"] / run["kept"],
        near_share=run["near"] / run["kept"],
    )


def local(workers: int) -> Cluster:
    """This machine: one worker process, its children, and the runner's shuffle in memory."""
    return Cluster(
        machines=1,
        cores=default_workers(),
        processes=1,
        children=workers,
        segment_bytes=LARGE_SEGMENT,
        holds_shuffle=True,
    )


def rows_of(
    run: dict[str, Any], page_kb: float, costs: UnitCosts
) -> list[tuple[str, str, float, float]]:
    """(what, unit, model, run)."""
    said = {p.load.name: p for p in predict(crawl_of(run, page_kb), local(run["workers"]), costs)}
    rows = []
    for name, parts in PHASES.items():
        took = next(phase for phase in run["phases"] if phase["name"] == name)
        phases = [said[part] for part in parts]
        cpu = sum(phase.load.cpu_seconds for phase in phases)
        best = sum(phase.seconds_at_best for phase in phases)
        rows.append((f"{name}, CPU", "s", cpu, took["cpu_seconds"]))
        rows.append((f"{name}, wall", "s", best, took["seconds"]))
    whole = sum(phase.load.cpu_seconds for phase in said.values())
    wall = sum(phase.seconds_at_best for phase in said.values()) + costs.account_seconds
    memory = max(phase.load.memory_bytes for phase in said.values())
    rows.append(("run, CPU", "s", whole + costs.account_seconds, run["cpu_seconds"]))
    rows.append(("run, wall", "s", wall, run["seconds"]))
    rows.append(("peak memory", "MB", memory / 1e6, run["peak_memory_bytes"] / 1e6))
    return rows


def check(path: Path) -> None:
    """Print model, run and error for each worker count, and the bytes of each shuffle."""
    measured, costs = json.loads(path.read_text("utf-8")), UnitCosts.read(path)
    page_kb, runs = measured["page_kb"]["check"], measured["runs"]
    console = Console(width=110)
    for name in sorted(name for name in runs if name.startswith("check-")):
        run = runs[name]
        had = run["cpu_seconds"] / run["seconds"]
        title = f"{run['workers']} workers, {run['pages']} pages; had {had:.2f} processors"
        table = Table("", "model", "run", "error %", title=title)
        for what, unit, model, took in rows_of(run, page_kb, costs):
            table.add_row(f"{what} {unit}", f"{model:.2f}", f"{took:.2f}", _error(model, took))
        console.print(table)
    run = runs["check-1"]
    table = Table("shuffle", "model, kB", "run, kB", "error %", title="bytes shuffled")
    for phase in predict(crawl_of(run, page_kb), local(1), costs):
        took = sum(measured["shuffles"]["grouped"].get(phase.load.name, {}).values())
        said = phase.load.shuffle_bytes
        kb = (f"{said / 1e3:.1f}", f"{took / 1e3:.1f}")
        table.add_row(phase.load.name, *kb, _error(said, took))
    console.print(table)


def _error(model: float, took: float) -> str:
    return f"{100 * (model / took - 1):+.0f}" if took else ""
