"""`corpusmill curate` of the same files on every engine that is here: wall time and checksums.

    python -m benchmarks.engines --input '../shared/data/warc_pages/*.warc.gz'
    python -m benchmarks.engines --input crawl.warc.gz --engines local spark-cluster

Engines are those of `make engines`; spark-cluster is a master and two workers that are started here
on loopback. The command of each run is printed. Ends with 1 when the bytes of any engine differ
from those of the first.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines import portable
from tests.builders.outputs import sums
from tests.engines.setups import NEEDS, Engine, engine_of, missing
from tests.engines.spark_cluster import spark_cluster


@contextlib.contextmanager
def running(name: str, folder: Path, scratch: Path) -> Iterator[Engine]:
    """The engine, with its cluster while the block runs."""
    if name != "spark-cluster":
        yield engine_of(name, folder)
        return
    scratch.mkdir()
    with spark_cluster(folder / "pyspark", scratch) as cluster:
        yield engine_of(name, folder, cluster.master_url)


def digest_of(output: Path, *folders: str) -> str:
    """Of the names and checksums of all files."""
    found = sums(output, *folders)
    lines = "".join(f"{found[name]}  {name}\n" for name in sorted(found))
    return hashlib.sha256(lines.encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--input", required=True, help="a path or a quoted glob")
    parser.add_argument("--recipe", default="fineweb")
    parser.add_argument("--segment-mb", default="2")
    parser.add_argument("--engines", nargs="+", choices=list(NEEDS), default=list(NEEDS))
    arguments = parser.parse_args()
    if not glob.glob(arguments.input):
        parser.error(f"--input {arguments.input} matches no file")
    folder = portable.engines_folder()
    table = Table("engine", "wall s", "CPU s of the driver", "shards", "all files", "equal")
    first, differ = "", False
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.engines:
            if absent := missing(name, folder):
                table.add_row(name, "", "", f"no {absent[0]}: make engines", "", "")
                continue
            output = Path(scratch) / f"{name}-out"
            with running(name, folder, Path(scratch) / name) as engine:
                program = [sys.executable, "-c", "from pipelines.cli import main; main()", "curate"]
                options = ["--input", arguments.input, "--output", str(output), "--quiet"]
                options += ["--recipe", arguments.recipe, "--segment-mb", arguments.segment_mb]
                options += ["--workers", "1" if name == "spark-cluster" else "2"]
                command = [*program, *options, "--runner", engine.runner, *engine.beam_arguments]
                print(shlex.join(["corpusmill", *command[3:]]), flush=True)
                started = time.monotonic()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                wall_seconds = time.monotonic() - started
            record = json.loads((output / "run.json").read_bytes())
            everything = digest_of(output)
            first = first or everything
            differ |= everything != first
            table.add_row(
                name,
                f"{wall_seconds:.1f}",
                f"{record['cpu_seconds']:.1f}",
                digest_of(output, "shards")[:16],
                everything[:16],
                "yes" if everything == first else "NO",
            )
    Console(width=110).print(table)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
