"""Loads laid out on machines: wall clock, and what holds it up."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.scaling.loads import LOADS
from pipelines.scaling.unit_costs import UnitCosts
from pipelines.scaling.work import (
    STORE_READS_PER_SECOND,
    STORE_WRITES_PER_SECOND,
    Cluster,
    Crawl,
    Load,
)


class Phase(NamedTuple):
    """A phase on a cluster."""

    load: Load
    seconds_at_best: float
    """Work spread evenly, but never less than the longest task."""
    seconds_at_most: float
    """The longest task starts last."""
    bottleneck: str


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
    """The phases in order, without those that have nothing to do."""
    loads = [load(crawl, cluster, costs) for load in LOADS]
    return [lay_out(load, cluster, costs) for load in loads if load.tasks]
