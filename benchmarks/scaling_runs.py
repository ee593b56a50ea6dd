"""Real runs of `corpusmill curate`, and what a page costs in a child."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from pipelines.assets import provide_assets
from pipelines.recipes import load
from schemas.page import Page
from stages.refine import Refiner
from stages.warc import plan_segments, read_segment

WARM_UP_PAGES = 60
CHILD_STEPS = ("page", "decode", "url", "gate", "extract", "language", "quality", "hash")
"""Steps of run.json that children do; reading and writing are the worker process's."""


class Run(NamedTuple):
    """One run: how it was asked for, and its account."""

    files: list[Path]
    workers: int
    output: Path
    record: dict[str, Any]
    tasks: int
    task_cpu_seconds: list[float]

    def cpu(self, phase: str) -> float:
        return self._phase(phase)["cpu_seconds"]

    def seconds(self, phase: str) -> float:
        return self._phase(phase)["seconds"]

    def step(self, name: str) -> float:
        return float(self.record["cpu_seconds_by_step"].get(name, 0.0))

    def _phase(self, name: str) -> dict[str, Any]:
        return next(p for p in self.record["phases"] if p["name"] == name)

    @property
    def pages(self) -> int:
        return int(self._phase("extract")["in"])

    @property
    def kept(self) -> int:
        return int(self._phase("extract")["kept"])

    @property
    def final(self) -> int:
        return int(self._phase("finish")["kept"])

    @property
    def extracted(self) -> int:
        """Pages that came as far as extraction."""
        steps = {row["step"]: row["kept"] for row in self.record["funnel"]}
        return int(steps["gate"])

    @property
    def near(self) -> int:
        return int(self.record["rules"].get("dedup.minhash", 0))

    @property
    def peak_bytes(self) -> int:
        """Of all processes of the run."""
        return int(self.record["peak_memory_bytes"])

    @property
    def tokens(self) -> int:
        return sum(int(split["tokens"]) for split in self.record["shards"])

    @property
    def text_bytes(self) -> int:
        """Of the kept texts, in UTF-8."""
        markers = (self.output / ".work" / "finish").glob("*.done.json")
        return sum(json.loads(m.read_bytes())["content"]["train_bytes"] for m in markers)

    @property
    def in_children(self) -> float:
        """CPU seconds of extract in the children."""
        return sum(self.step(name) for name in CHILD_STEPS)

    @property
    def members(self) -> int:
        """Rows of the clusters."""
        paths = (self.output / "clusters").glob("*.parquet")
        return sum(pq.ParquetFile(path).metadata.num_rows for path in paths)


def curate(files: list[Path], output: Path, workers: int, *more: str, recipe: str) -> Run:
    """Run the command to its end, in processes of its own."""
    program = [sys.executable, "-c", "from pipelines.cli import main; main()", "curate"]
    inputs = [part for file in files for part in ("--input", str(file))]
    common = ["--output", str(output), "--recipe", recipe, "--workers", str(workers), "--quiet"]
    subprocess.run([*program, *inputs, *common, *more], check=True, stdout=subprocess.DEVNULL)
    return read_run(files, output, workers)


def read_run(files: list[Path], output: Path, workers: int) -> Run:
    markers = sorted((output / ".work" / "extract").glob("*.done.json"))
    steps = [json.loads(m.read_bytes())["content"]["cpu_seconds_by_step"] for m in markers]
    record = json.loads((output / "run.json").read_bytes())
    return Run(files, workers, output, record, len(markers), [sum(s.values()) for s in steps])


def pages_of(files: list[Path]) -> list[Page]:
    """Every record that can hold a page."""
    pages = []
    for file in files:
        size_bytes = file.stat().st_size
        with file.open("rb") as handle:
            for segment in plan_segments(str(file), size_bytes, max(size_bytes, 1)):
                pages += [e for e in read_segment(handle, segment) if isinstance(e, Page)]
    return pages


def body_kb(files: list[Path]) -> float:
    """Mean body of a page, in kB."""
    pages = pages_of(files)
    return sum(len(page.body) for page in pages) / len(pages) / 1000


def page_costs(files: list[Path], recipe_name: str) -> dict[str, float]:
    """CPU of a page in a child, by least squares: ms a page and a kB, and what extraction adds."""
    recipe = load(recipe_name)
    refiner = Refiner(recipe, provide_assets(recipe, print))
    pages = pages_of(files)
    for page in pages[:WARM_UP_PAGES]:
        refiner.refine(page)
    gc.freeze()
    gc.set_threshold(100_000)  # as pipelines.pool sets it in a child
    rows, measured = [], []
    for page in pages:
        started = time.process_time()
        outcome = refiner.refine(page)
        measured.append(1000 * (time.process_time() - started))
        extracted = float("extract" in outcome.seconds_by_step)
        kb = len(page.body) / 1000
        rows.append([1.0, kb, extracted, extracted * kb])
    found, *_ = np.linalg.lstsq(np.array(rows), np.array(measured), rcond=None)
    names = ("page_ms", "page_ms_per_kb", "extracted_ms", "extracted_ms_per_kb")
    return dict(zip(names, map(float, found), strict=True))


def edges_per_duplicate(run: Run) -> float:
    """Pairs that the bands make for each document that MinHash dropped; copies by URL or content
    are left out, as they are in the run."""
    seen: set[object] = set()
    buckets: Counter[bytes] = Counter()
    for path in sorted((run.output / ".work" / "extract").glob("*.keys.parquet")):
        table = pq.read_table(path, columns=["url_key", "content_hash", "bands"])
        for url_key, content_hash, bands in zip(*(c.to_pylist() for c in table), strict=True):
            if url_key not in seen and content_hash not in seen:
                buckets.update(bands[start : start + 8] for start in range(0, len(bands), 8))
            seen |= {url_key, content_hash}
    return sum(count - 1 for count in buckets.values()) / max(run.near, 1)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
