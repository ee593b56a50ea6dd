"""`corpusmill estimate`: what a crawl takes on N machines, before anything is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import Json

if TYPE_CHECKING:
    from pipelines.scaling.layout import Phase
    from pipelines.scaling.unit_costs import UnitCosts
    from pipelines.scaling.work import Cluster, Crawl

MACHINES = (100, 500, 1000, 2000)
CORES = (4, 8, 16)
WIDTH = 150


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=(
            "Examples:\n\n"
            "corpusmill estimate --machines 250 --cores 4 --segment-mb 1024\n\n"
            "corpusmill estimate --files 9000 --machines 100 --costs measured.json --json"
        )
    )(estimate)


def estimate(
    files: Annotated[
        int, typer.Option("--files", min=1, help="WARC files, as those of CC-MAIN-2024-22.")
    ] = 90_000,
    machines: Annotated[int, typer.Option("--machines", min=1)] = 1000,
    cores: Annotated[int, typer.Option("--cores", min=1, help="Processors of a machine.")] = 8,
    segment_mb: Annotated[float, typer.Option("--segment-mb", min=0.01)] = 1024.0,
    tokens_per_shard: Annotated[float, typer.Option("--tokens-per-shard", min=1.0)] = 3e8,
    bundles: Annotated[
        int, typer.Option("--bundles", min=1, help="Bundles at a time in a worker process.")
    ] = 1,
    call_seconds: Annotated[
        float, typer.Option("--call-seconds", min=0.0, help="Of a request to the store.")
    ] = 0.03,
    job_seconds: Annotated[
        float, typer.Option("--job-seconds", min=0.0, help="Until a job's machines work.")
    ] = 180.0,
    costs: Annotated[
        Path | None,
        typer.Option(
            "--costs",
            help="Unit costs, by `python -m benchmarks.scaling measure`; default: recipe fineweb "
            "on two virtual cores.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict time, memory, shuffle and what breaks first, of a crawl on N machines.

    Arithmetic over measured unit costs: docs/scaling.md says how far it can be trusted.
    """
    from pipelines.scaling.unit_costs import FINEWEB, UnitCosts
    from pipelines.scaling.work import CC_MAIN_2024_22, Cluster

    unit_costs = UnitCosts.read(costs or FINEWEB)
    crawl = CC_MAIN_2024_22.scaled(files)
    cluster = Cluster(
        machines=machines,
        cores=cores,
        processes=cores,
        children=1,
        segment_bytes=segment_mb * 1e6,
        bundles=bundles,
        tokens_per_shard=tokens_per_shard,
        call_seconds=call_seconds,
        job_seconds=job_seconds,
    )
    if as_json:
        typer.echo(json.dumps(as_dict(crawl, cluster, unit_costs), indent=1))
        return
    show_phases(crawl, cluster, unit_costs)
    show_limits(crawl, cluster, unit_costs)
    show_grid(crawl, cluster, unit_costs)


def as_dict(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> dict[str, Any]:
    """The same for machines; seconds and bytes."""
    from pipelines.scaling.layout import predict
    from pipelines.scaling.limits import driver_steps, limits

    phases = []
    for phase in predict(crawl, cluster, costs):
        load = phase.load
        phases.append(
            {
                "name": load.name,
                "cpu_seconds": load.cpu_seconds,
                "seconds_at_best": phase.seconds_at_best,
                "seconds_at_most": phase.seconds_at_most,
                "shuffle_bytes": load.shuffle_bytes,
                "machine_memory_bytes": load.memory_bytes,
                "files": load.files,
                "requests": load.reads + load.writes,
                "held_up_by": phase.bottleneck,
            }
        )
    return {
        "crawl": crawl._asdict(),
        "cluster": cluster._asdict(),
        "phases": phases,
        "driver": [step._asdict() for step in driver_steps(crawl, cluster, costs)],
        "limits": [
            {**limit._asdict(), "broken": limit.broken} for limit in limits(crawl, cluster, costs)
        ],
    }


def show_phases(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> None:
    """Every phase, and what the driver does alone."""
    from pipelines.scaling.layout import predict
    from pipelines.scaling.limits import driver_steps
    from pipelines.scaling.work import tasks_of

    console = Console(width=WIDTH)
    console.print(
        f"{crawl.files:,} files, {crawl.files * crawl.file_bytes / 1e12:.1f} TB, "
        f"{crawl.pages:,.0f} pages; {cluster.machines:,} machines of {cluster.cores} processors; "
        f"{tasks_of(crawl, cluster):,.0f} tasks of {cluster.segment_bytes / 1e6:g} MB"
    )
    table = Table("phase", "CPU h", "wall h", "at most", "shuffle GB", "memory GB a machine")
    for column in ("files", "requests", "longest", "held up by"):
        table.add_column(column)
    for phase in predict(crawl, cluster, costs):
        table.add_row(*_row(phase, cluster, costs))
    console.print(table)
    steps = Table("driver alone", "hours", "requests", "memory GB")
    for step in driver_steps(crawl, cluster, costs):
        steps.add_row(
            step.name,
            f"{step.seconds / 3600:.2f}",
            f"{step.requests:,.0f}",
            f"{step.memory_bytes / 1e9:.1f}",
        )
    console.print(steps)


def _row(phase: Phase, cluster: Cluster, costs: UnitCosts) -> list[str]:
    load = phase.load
    waiting = (load.reads + load.writes) * cluster.call_seconds
    longest = costs.task_spread * (load.cpu_seconds + waiting) / load.tasks
    return [
        load.name,
        f"{load.cpu_seconds / 3600:,.0f}",
        f"{phase.seconds_at_best / 3600:.2f}",
        f"{phase.seconds_at_most / 3600:.2f}",
        f"{load.shuffle_bytes / 1e9:,.2f}",
        f"{load.memory_bytes / 1e9:.1f}",
        f"{load.files:,.0f}",
        f"{load.reads + load.writes:,.0f}",
        "" if load.divisible else f"{longest:,.0f} s",
        phase.bottleneck,
    ]


def show_limits(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> None:
    """What grows beyond what is usual or allowed."""
    from pipelines.scaling.limits import limits

    table = Table("what grows", "here", "limit", "", "answer", title="what breaks")
    for limit in limits(crawl, cluster, costs):
        table.add_row(
            limit.what,
            f"{limit.amount:,.3g} {limit.unit}",
            f"{limit.limit:,.3g}",
            "over" if limit.broken else "",
            limit.answer,
        )
    Console(width=WIDTH).print(table)


def show_grid(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> None:
    """Hours on other numbers of machines."""
    from pipelines.scaling.layout import predict

    table = Table("machines", title="hours of wall clock, all phases (driver alone not counted)")
    for cores in CORES:
        table.add_column(f"{cores} vCPU")
    for machines in MACHINES:
        cells = []
        for cores in CORES:
            shape = cluster._replace(machines=machines, cores=cores, processes=cores)
            phases = predict(crawl, shape, costs)
            best = sum(phase.seconds_at_best for phase in phases) / 3600
            most = sum(phase.seconds_at_most for phase in phases) / 3600
            cells.append(f"{best:.1f} to {most:.1f}")
        table.add_row(f"{machines:,}", *cells)
    Console(width=WIDTH).print(table)
