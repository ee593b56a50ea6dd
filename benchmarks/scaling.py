"""Unit costs of curating, measured, and the model's predictions against runs on this machine.

    python -m benchmarks.scaling all --data ../shared/data --output measured.json
    python -m benchmarks.scaling measure --data ../shared/data --output measured.json
    python -m benchmarks.scaling check --measurements measured.json

`measure` runs `corpusmill curate` on parts of the data and takes unit costs from them, and runs it
on all of the data with 1, 2 and 4 workers; `check` compares what the model says of these with what
they took. `corpusmill estimate --costs measured.json` lays a crawl out on machines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.scaling_check import check
from benchmarks.scaling_measure import measure
from pipelines.scaling.unit_costs import FINEWEB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("what", choices=["all", "measure", "check"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--recipe", default="fineweb")
    parser.add_argument("--output", type=Path, help="where to write what was measured")
    parser.add_argument("--measurements", type=Path, default=FINEWEB)
    arguments = parser.parse_args()
    measurements = arguments.measurements
    if arguments.what in ("all", "measure"):
        if arguments.data is None or arguments.output is None:
            parser.error("measure needs --data and --output")
        measure(arguments.data, arguments.output, arguments.recipe)
        measurements = arguments.output
    if arguments.what in ("all", "check"):
        check(measurements)


if __name__ == "__main__":
    main()
