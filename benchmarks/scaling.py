"""A measured model of curating a whole crawl, and its check against runs on this machine.

    python -m benchmarks.scaling all --data ../shared/data --output measured.json
    python -m benchmarks.scaling measure --data ../shared/data --output measured.json
    python -m benchmarks.scaling check --measurements measured.json
    python -m benchmarks.scaling predict --files 90000 --machines 1000 --cores 8 --segment-mb 1024

`measure` runs `corpusmill curate` on parts of the data and takes unit costs from them, and runs it
on all of the data with 1, 2 and 4 workers; `check` compares what the model says of these with what
they took; `predict` lays a crawl out on machines. Without --measurements the costs are those of
benchmarks/scaling_measured.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.scaling_check import check
from benchmarks.scaling_measure import measure
from benchmarks.scaling_tables import show_grid, show_limits, show_phases
from pipelines.scaling.unit_costs import UnitCosts
from pipelines.scaling.work import CC_MAIN_2024_22, Cluster

MEASURED = Path(__file__).parent / "scaling_measured.json"
CALL_SECONDS = 0.03
"""Of a request to a store in the same region. Not measured: there is none here."""
JOB_SECONDS = 180.0
"""Until a Dataflow job's machines work. Not measured either."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("what", choices=["all", "measure", "check", "predict", "grid"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--recipe", default="fineweb")
    parser.add_argument("--output", type=Path, help="where to write what was measured")
    parser.add_argument("--measurements", "--recipe-measurements", type=Path, default=MEASURED)
    parser.add_argument("--files", type=int, default=90_000)
    parser.add_argument("--machines", "--workers", type=int, default=1000)
    parser.add_argument("--cores", type=int, default=8)
    parser.add_argument("--segment-mb", type=float, default=1024.0)
    parser.add_argument("--tokens-per-shard", type=float, default=3e8)
    parser.add_argument("--bundles", type=int, default=1)
    parser.add_argument("--call-seconds", type=float, default=CALL_SECONDS)
    parser.add_argument("--job-seconds", type=float, default=JOB_SECONDS)
    arguments = parser.parse_args()
    measurements = arguments.measurements
    if arguments.what in ("all", "measure"):
        if arguments.data is None or arguments.output is None:
            parser.error("measure needs --data and --output")
        measure(arguments.data, arguments.output, arguments.recipe)
        measurements = arguments.output
    if arguments.what in ("all", "check"):
        check(measurements)
    if arguments.what in ("all", "predict", "grid"):
        costs = UnitCosts.read(measurements)
        crawl = CC_MAIN_2024_22.scaled(arguments.files)
        cluster = Cluster(
            machines=arguments.machines,
            cores=arguments.cores,
            processes=arguments.cores,
            children=1,
            segment_bytes=arguments.segment_mb * 1e6,
            bundles=arguments.bundles,
            tokens_per_shard=arguments.tokens_per_shard,
            call_seconds=arguments.call_seconds,
            job_seconds=arguments.job_seconds,
        )
        if arguments.what != "grid":
            show_phases(crawl, cluster, costs)
            show_limits(crawl, cluster, costs)
        if arguments.what != "predict":
            show_grid(crawl, cluster, costs)


if __name__ == "__main__":
    main()
