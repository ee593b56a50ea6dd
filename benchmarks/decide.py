"""Seconds of `decide` on an annotated run against `curate` with the same recipe on the WARC files.

    python -m benchmarks.decide --data ../shared/data [--recipe fineweb] [--files 4] [--workers 2]

Three runs, one after the other, each in a process of its own: curate, curate --annotate with
another threshold of language, decide. The shards of the first and the last must be the same bytes.
Times are those of run.json: the whole run, and its first phase, which is all that decide replaces.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.warc_pages import dev_warcs


def corpusmill(*arguments: str | Path) -> None:
    program = [sys.executable, "-c", "from pipelines.cli import main; main()"]
    subprocess.run([*program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def account(output: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((output / "run.json").read_bytes())
    return record


def same_shards(left: Path, right: Path) -> bool:
    names = {
        str(p.relative_to(run / "shards"))
        for run in (left, right)
        for p in (run / "shards").rglob("*")
        if p.is_file()
    }
    _, differ, odd = filecmp.cmpfiles(left / "shards", right / "shards", names, shallow=False)
    return not differ and not odd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="fineweb")
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    inputs = [part for w in dev_warcs(arguments.data)[: arguments.files] for part in ("-i", w)]
    common = ["--recipe", arguments.recipe, "--workers", str(arguments.workers), "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Path(folder) / name for name in ("curate", "annotate", "decide")}
        corpusmill("curate", *inputs, "-o", runs["curate"], *common)
        other = ["--annotate", "--set", "language.threshold=0.9"]
        corpusmill("curate", *inputs, "-o", runs["annotate"], *common, *other)
        corpusmill("decide", runs["annotate"], "-o", runs["decide"], *common)
        print(f"{'':10}{'seconds':>10}{'CPU s':>10}{'phase 1 s':>12}{'CPU s':>10}{'kept':>8}")
        for name, run in runs.items():
            record = account(run)
            first, last = record["phases"][0], record["phases"][-1]
            print(
                f"{name:10}{record['seconds']:10.1f}{record['cpu_seconds']:10.1f}"
                f"{first['seconds']:12.1f}{first['cpu_seconds']:10.1f}{last['kept']:8}"
            )
        curate, decide = account(runs["curate"]), account(runs["decide"])
        for what, phase in (("whole run", None), ("first phase", 0)):
            pair = [r if phase is None else r["phases"][phase] for r in (curate, decide)]
            print(
                f"{what}: curate takes {pair[0]['seconds'] / pair[1]['seconds']:.1f} times decide"
            )
        stored = sum(p.stat().st_size for p in (runs["annotate"] / ".work/annotated").iterdir())
        print(f".work/annotated: {stored / 1e6:.1f} MB of {pages_in(curate):,} records")
        print("shards are", "the same" if same_shards(runs["curate"], runs["decide"]) else "OTHER")
        print("CPU seconds of decide by step:", json.dumps(decide["cpu_seconds_by_step"]))


def pages_in(record: dict[str, Any]) -> int:
    count: int = record["phases"][0]["in"]
    return count


if __name__ == "__main__":
    main()
