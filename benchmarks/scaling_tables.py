"""The model's answers as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pipelines.scaling.layout import Phase, predict
from pipelines.scaling.limits import driver_steps, limits
from pipelines.scaling.unit_costs import UnitCosts
from pipelines.scaling.work import Cluster, Crawl, tasks_of

MACHINES = (100, 500, 1000, 2000)
CORES = (4, 8, 16)


def show_phases(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> None:
    console = Console(width=150)
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
    table = Table("what grows", "here", "limit", "", "answer", title="what breaks")
    for limit in limits(crawl, cluster, costs):
        table.add_row(
            limit.what,
            f"{limit.amount:,.3g} {limit.unit}",
            f"{limit.limit:,.3g}",
            "over" if limit.broken else "",
            limit.answer,
        )
    Console(width=150).print(table)


def show_grid(crawl: Crawl, cluster: Cluster, costs: UnitCosts) -> None:
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
    Console(width=110).print(table)
