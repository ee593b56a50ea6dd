"""FineWeb's recipe in corpusmill and in datatrove 0.10.1: speed, and which pages each keeps.

    python benchmarks/against_datatrove.py --input '../shared/data/warc_pages/*.warc.gz' --workers 2
        [--venv DIR] [--work DIR] [--extraction-seconds S] [--repeat R] [--json]

Makes datatrove an environment of its own (a minute or two, once) with the trafilatura version of
this one, then runs both over the same files with the same number of workers, in turn, R times.
Reports the pages a second of both, from WARC to filtered text and to deduplicated text without
personal data, how the kept sets agree, and every kind of difference with examples.

What is no part of the timing: the environment, unpacking datatrove's URL lists and building
corpusmill's block list (once a machine; reported), tokenizer and shards (datatrove's recipe has
none). A run's start-up is part of it on both sides. CPU seconds are those of the whole process
tree. datatrove's extraction limit is wall clock, 1 second by default, so that which pages it loses
depends on the load of the machine; the default here is 30 seconds.

Needs Linux, pip's access to packages when the environment is made, and libmagic.
"""

from __future__ import annotations

import argparse
import ctypes.util
import glob
import hashlib
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

from kept_sets import (  # noqa: E402 - a sibling, found through the path above
    Comparison,
    Difference,
    Texts,
    compare,
    compare_texts,
    corpusmill_clusters,
    corpusmill_fates,
    datatrove_fates,
    lost,
    read_pages,
)
from process_tree import Took, become_subreaper, measure  # noqa: E402

from stages.language import model_path  # noqa: E402

REQUIREMENTS = HERE / "datatrove-requirements.txt"
LATER_PHASES = ("dedup", "finish", "pack")
CURATE = "from pipelines.cli.main import main; main()"
BUILD_ASSETS = (
    "from pipelines.assets import provide_assets; from pipelines.recipes import load; "
    "provide_assets(load('fineweb'))"
)


class Round(NamedTuple):
    """One run of one tool."""

    base: Took
    """WARC to filtered text."""
    whole: Took
    """WARC to deduplicated text without personal data."""


def make_environment(folder: Path, log: Path) -> tuple[str, float]:
    """datatrove's Python and the seconds it took to install; made again when the pins change."""
    python = folder / "bin" / "python"
    trafilatura = f"trafilatura=={version('trafilatura')}"
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + trafilatura.encode()).hexdigest()
    marker = folder / "installed"
    if marker.exists() and marker.read_text() == key:
        return str(python), 0.0
    print(f"installing datatrove into {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    took = measure([sys.executable, "-m", "venv", str(folder)], {}, ROOT, log)
    install = [str(python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS), trafilatura]
    took += measure(install, {}, ROOT, log)
    marker.write_text(key)
    return str(python), took.seconds


class Bench:
    """The two tools over the same files."""

    def __init__(self, arguments: argparse.Namespace, paths: list[Path], python: str) -> None:
        self.work: Path = arguments.work
        self.paths = paths
        self.workers = str(arguments.workers)
        self.logs = self.work / "logs"
        self.inputs = ["--input", str(self.work / "input")]
        self.options = ["--extraction-seconds", str(arguments.extraction_seconds)]
        if arguments.page_deduplication:
            self.options.append("--page-deduplication")
        assets = self.work / "assets"
        self.datatrove = [python, str(HERE / "datatrove_fineweb.py")]
        self.datatrove_env = {
            "HF_ASSETS_CACHE": str(assets),
            "HF_HUB_OFFLINE": "1",
            "TLDEXTRACT_CACHE": str(assets / "tldextract"),
            "TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS": "",
        }
        self.corpusmill_env = {"CORPUSMILL_CACHE": str(self.work / "cache")}
        self.model = ["--language-model", str(model_path("lid.176"))]
        self.theirs = self.work / "datatrove"
        self.ours = self.work / "corpusmill"

    def prepare(self) -> dict[str, Took]:
        """Once a machine, from nothing: the block lists of both, and the input folder."""
        for folder in ("assets", "cache", "input"):
            shutil.rmtree(self.work / folder, ignore_errors=True)
        inputs = self.work / "input"
        inputs.mkdir(parents=True)
        for path in self.paths:
            (inputs / path.name).symlink_to(path.resolve())
        theirs = [*self.datatrove, "prepare", *self.model]
        return {
            "datatrove": measure(
                theirs, self.datatrove_env, ROOT, self.logs / "datatrove-prepare.log"
            ),
            "corpusmill": measure(
                [sys.executable, "-c", BUILD_ASSETS],
                self.corpusmill_env,
                ROOT,
                self.logs / "corpusmill-prepare.log",
            ),
        }

    def run_datatrove(self) -> Round:
        shutil.rmtree(self.theirs, ignore_errors=True)
        output = ["--output", str(self.theirs), "--workers", self.workers]
        base = measure(
            [*self.datatrove, "base", *output, *self.inputs, *self.model, *self.options],
            self.datatrove_env,
            ROOT,
            self.logs / "datatrove-base.log",
        )
        dedup = measure(
            [*self.datatrove, "dedup", *output],
            self.datatrove_env,
            ROOT,
            self.logs / "datatrove-dedup.log",
        )
        return Round(base, base + dedup)

    def run_corpusmill(self) -> Round:
        """The parts are what the process took, less the phases that come after them."""
        shutil.rmtree(self.ours, ignore_errors=True)
        command = [sys.executable, "-c", CURATE, "curate", "--quiet", "--recipe", "fineweb"]
        command += ["--workers", self.workers, "--output", str(self.ours)]
        for path in self.paths:
            command += ["--input", str(path.resolve())]
        took = measure(command, self.corpusmill_env, ROOT, self.logs / "corpusmill.log")
        phases = {row["name"]: row for row in self.run_record()["phases"]}

        def without(names: tuple[str, ...]) -> Took:
            rows = [phases[name] for name in names]
            return Took(
                took.seconds - sum(row["seconds"] for row in rows),
                took.cpu_seconds - sum(row["cpu_seconds"] for row in rows),
            )

        return Round(without(LATER_PHASES), without(LATER_PHASES[-1:]))

    def run_record(self) -> dict[str, Any]:
        return json.loads((self.ours / "run.json").read_text())

    def datatrove_steps(self) -> tuple[dict[str, float], dict[str, int]]:
        """Seconds inside each step of its base pipeline, and what its extractor lost."""
        steps: dict[str, float] = {}
        losses: dict[str, int] = {}
        stats = json.loads((self.theirs / "logs" / "base" / "stats.json").read_text())
        for step in stats:
            name = step["name"].split(" ", 3)[-1].strip()
            if "Jsonl" in name:
                name = "trace and write"
            took = step["time_stats"].get("total", 0.0)
            steps[name] = steps.get(name, 0.0) + took
            if "Trafilatura" in name:
                kinds = ("timeout", "dropped", "broken_process", "clean_error")
                losses = {kind: count(step["stats"].get(kind, 0)) for kind in kinds}
        return steps, losses


def count(value: Any) -> int:
    return value["total"] if isinstance(value, dict) else int(value)


def speeds(rounds: list[dict[str, Round]], pages: int) -> list[dict[str, float | str]]:
    """A row for each part, round and tool, and the ratio of the pages a second."""
    rows: list[dict[str, float | str]] = []
    for number, by_tool in enumerate(rounds, 1):
        for part in Round._fields:
            for tool in ("datatrove", "corpusmill"):
                took: Took = getattr(by_tool[tool], part)
                other: Took = getattr(by_tool["datatrove"], part)
                rows.append(
                    {
                        "round": number,
                        "part": part,
                        "tool": tool,
                        "pages_per_second": pages / took.seconds,
                        "cpu_ms_per_page": 1000 * took.cpu_seconds / pages,
                        "seconds": took.seconds,
                        "cpu_seconds": took.cpu_seconds,
                        "cpus_had": took.cpu_seconds / took.seconds,
                        "times_datatrove": other.seconds / took.seconds,
                        "times_datatrove_per_cpu": other.cpu_seconds / took.cpu_seconds,
                    }
                )
    return rows


def table(differences: list[Difference], indent: str = "  ") -> str:
    lines = []
    for row in differences:
        lines.append(f"{indent}{row.pages:5d}  {row.datatrove}  |  {row.corpusmill}")
        lines += [f"{indent}        {url}" for url in row.urls]
    return "\n".join(lines)


def print_comparison(title: str, found: Comparison) -> None:
    print(
        f"{title}: {found.pages} pages that both read; datatrove kept {found.datatrove}, "
        f"corpusmill {found.corpusmill}, both {found.both}; Jaccard {found.jaccard:.4f}"
    )
    if found.differences:
        print("  pages  datatrove  |  corpusmill")
        print(table(found.differences))


def print_report(result: dict[str, Any]) -> None:
    pages = result["pages"]
    print(
        f"{pages} pages (HTML responses) in {result['files']} files, {result['workers']} workers, "
        f"trafilatura {result['trafilatura']} in both, "
        f"extraction limit of datatrove {result['extraction_seconds']} s"
    )
    for tool, took in result["once_a_machine"].items():
        print(f"once a machine: {tool} {took.seconds:.1f} s, {took.cpu_seconds:.1f} CPU s")
    print(f"\n{'round part  tool':24}{'pages/s':>9}{'CPU ms/page':>13}{'wall s':>8}{'CPUs':>6}")
    for row in result["speed"]:
        name = f"{row['round']:<6}{row['part']:6}{row['tool']:12}"
        print(
            f"{name}{row['pages_per_second']:9.1f}{row['cpu_ms_per_page']:13.1f}"
            f"{row['seconds']:8.1f}{row['cpus_had']:6.2f}   x {row['times_datatrove']:.2f} wall, "
            f"x {row['times_datatrove_per_cpu']:.2f} CPU"
        )
    for tool, steps in result["ms_per_page_by_step"].items():
        parts = sorted(steps.items(), key=lambda item: -item[1])
        print(f"{tool}, ms a page: " + ", ".join(f"{name} {ms:.2f}" for name, ms in parts))
    print(f"datatrove's extractor: {result['datatrove_extractor']}\n")
    print_comparison("after the base filters", result["base"])
    print_comparison("after everything", result["final"])
    print_comparison("after everything, copies of a cluster as one", result["final_clusters"])
    print(f"without a trace in datatrove: {sum(row.pages for row in result['lost'])} pages")
    print(table(result["lost"]))
    texts: Texts = result["texts"]
    print(
        f"texts of {texts.pages} pages that both keep: {texts.identical} identical, "
        f"{texts.nearly} more with a word Jaccard above .999, mean {texts.mean_word_jaccard:.5f}"
    )
    for value, url in texts.worst:
        print(f"        {value:.4f} {url}")


def plain(value: Any) -> Any:
    """Records as JSON objects."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def run(arguments: argparse.Namespace, paths: list[Path]) -> dict[str, Any]:
    work: Path = arguments.work
    python, install_seconds = make_environment(arguments.venv, work / "logs" / "install.log")
    bench = Bench(arguments, paths, python)
    pages = read_pages(paths)
    once = bench.prepare()
    rounds = []
    for number in range(arguments.repeat):
        print(f"round {number + 1} of {arguments.repeat}: datatrove", file=sys.stderr)
        theirs_took = bench.run_datatrove()
        print(f"round {number + 1} of {arguments.repeat}: corpusmill", file=sys.stderr)
        rounds.append({"datatrove": theirs_took, "corpusmill": bench.run_corpusmill()})
    theirs, theirs_final = datatrove_fates(bench.theirs, pages)
    ours, ours_final = corpusmill_fates(bench.ours, pages)
    clusters = corpusmill_clusters(bench.ours, pages)
    n_pages = len(pages.urls)
    steps, losses = bench.datatrove_steps()
    record = bench.run_record()
    return {
        "pages": n_pages,
        "files": len(paths),
        "workers": arguments.workers,
        "trafilatura": version("trafilatura"),
        "extraction_seconds": arguments.extraction_seconds,
        "install_seconds": install_seconds,
        "once_a_machine": once,
        "speed": speeds(rounds, n_pages),
        "ms_per_page_by_step": {
            tool: {name: 1000 * seconds / n_pages for name, seconds in by_step.items()}
            for tool, by_step in (
                ("datatrove (wall)", steps),
                ("corpusmill (CPU)", record["cpu_seconds_by_step"]),
            )
        },
        "datatrove_extractor": losses,
        "base": compare(theirs, ours, pages),
        "final": compare(theirs_final, ours_final, pages),
        "final_clusters": compare(theirs_final, ours_final, pages, clusters),
        "lost": lost(theirs, ours, pages),
        "texts": compare_texts(theirs, ours, pages),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", nargs="+", required=True, help="WARC files or quoted globs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, in turn")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-datatrove")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "against_datatrove")
    parser.add_argument("--extraction-seconds", type=float, default=30.0)
    parser.add_argument(
        "--page-deduplication",
        action="store_true",
        help="reset trafilatura's memory of repeated text for each page in datatrove too",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    arguments.venv, arguments.work = arguments.venv.absolute(), arguments.work.absolute()
    found = {path for pattern in arguments.input for path in glob.glob(pattern)}
    paths = [Path(path) for path in sorted(found)]
    if not paths:
        sys.exit(f"no file matches {' '.join(arguments.input)}")
    if len({path.name for path in paths}) < len(paths):
        sys.exit("two input files have the same name; their pages could not be told apart")
    if ctypes.util.find_library("magic") is None:
        sys.exit("datatrove's WARC reader needs libmagic: apt-get install -y libmagic1")
    become_subreaper()
    result = run(arguments, paths)
    (arguments.work / "result.json").write_text(json.dumps(plain(result), indent=2) + "\n")
    if arguments.json:
        print(json.dumps(plain(result), indent=2))
    else:
        print_report(result)


if __name__ == "__main__":
    main()
