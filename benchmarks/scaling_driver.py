"""What the driver and single tasks pay as a run grows: plan, markers, report, index, rows held.

    python -m benchmarks.scaling_driver plan --files 90000 --segment-mb 1024
    python -m benchmarks.scaling_driver markers --count 90000 --run OUT
    python -m benchmarks.scaling_driver report|parts|tokens|held|index|files|sample|docs --run OUT

OUT is a finished run of curate with its .work. Each prints a JSON object. Made-up inputs have names
as long as Common Crawl's; nothing of them is read.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from benchmarks.peak_memory import peak_bytes, reset_peak
from pipelines import storage
from pipelines.phases.lists import ReadList, write_list
from pipelines.phases.token_rows import load_rows, read_index
from pipelines.phases.tokenize import TOKEN_ROW, index_file, token_file
from pipelines.plan import make_plan
from pipelines.recipes import load
from pipelines.report import write_report
from pipelines.report.distribution import Distribution
from pipelines.report.facts import HOSTS_HELD, RowFacts
from pipelines.report.gather import count_tokens
from pipelines.storage import InputFile
from pipelines.summaries import part_file
from pipelines.workspace import Marker, Workspace, read_markers
from schemas.tables import DOCUMENT_V1, KEY_V1, REJECTED_V1

_FOLDER = "gs://commoncrawl-copy/crawl-data/CC-MAIN-2024-22/segments"
_NAME = "CC-MAIN-20240517233122-20240518023122"
_MB = 1_000_000


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def crawl_files(count: int) -> list[InputFile]:
    """Names, sizes and stamps as a listing of a store would give them."""
    files = []
    for number in range(count):
        segment = f"{1715971057216 + number // 900}.39"
        path = f"{_FOLDER}/{segment}/warc/{_NAME}-{number % 900:05d}.warc.gz"
        label = f"{segment}/warc/{_NAME}-{number % 900:05d}.warc.gz"
        files.append(InputFile(path, 960_000_000 + number, "1716000000.0", path, label))
    return files


def plan(files: int, segment_bytes: int, graph: bool = True) -> dict[str, Any]:
    """Cutting the inputs, the keys of the tasks, plan.json, and the graph that carries them."""
    inputs, recipe = crawl_files(files), load("fineweb")
    before, started = reset_peak(), time.process_time()
    made = make_plan(recipe, inputs, None, segment_bytes)
    keys = made.task_keys()
    assert made.key
    written = len(made.to_json())
    cpu_seconds = time.process_time() - started
    result = {
        "tasks": len(made.tasks),
        "cpu_seconds": cpu_seconds,
        "plan_bytes": written,
        "grown_bytes": peak_bytes() - before,
    }
    if graph:
        items = [(tuple(task), keys[task.name]) for task in made.tasks]
        embedded, listed = graph_bytes(items)
        result |= {"graph_bytes_embedded": embedded, "graph_bytes_listed": listed}
    return result


def graph_bytes(items: list[Any]) -> tuple[int, int]:
    """Bytes of a serialized pipeline with the tasks as elements, and as lists in files."""
    embedded = beam.Pipeline(runner="FnApiRunner")
    embedded | beam.Create(items, reshuffle=False) | beam.Reshuffle()
    listed = beam.Pipeline(runner="FnApiRunner")
    with tempfile.TemporaryDirectory() as folder:
        listed | ReadList(write_list(folder, items))
    sizes = [len(p.to_runner_api().SerializeToString()) for p in (embedded, listed)]
    return sizes[0], sizes[1]


def markers(count: int, run: Workspace) -> dict[str, Any]:
    """Reading markers with their files' sizes from a local disk, copies of a real one."""
    path = storage.list_files(run.work("extract"), ".done.json")[0]
    record = json.loads(storage.read_bytes(path))
    with tempfile.TemporaryDirectory() as folder:
        copy = Workspace(folder)
        target = Path(copy.work("extract"))
        target.mkdir(parents=True)
        keys: dict[str, str] = {}
        for number in range(count):
            name, files = f"{number:016x}-000000000000", {}
            for kind in ("documents", "errors", "keys", "rejected"):
                (target / f"{name}.{kind}.parquet").write_bytes(b"x")
                files[f".work/extract/{name}.{kind}.parquet"] = 1
            keys[name] = "k"
            content = json.dumps({"key": "k", "content": record["content"], "files": files})
            (target / f"{name}.done.json").write_text(content)
        gc.collect()
        before, started = resident_bytes(), time.process_time()
        found = read_markers(str(target), keys)
        cpu_seconds = time.process_time() - started
        assert len(found) == count
        return {
            "count": count,
            "cpu_seconds": cpu_seconds,
            "held_bytes": resident_bytes() - before,
            "marker_bytes": len(content),
        }


def report(run: Workspace, copies: int = 8) -> dict[str, Any]:
    """CPU of the report by rows: of the run, and of the run with every file `copies` times."""
    rows = sum(
        pq.ParquetFile(path).metadata.num_rows
        for kind in ("documents", "rejected", "errors")
        for path in storage.list_files(run.path(kind), ".parquet")
    )
    write_report(run)  # imports and first use
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        many = Workspace(folder)
        shutil.copytree(run.output, folder, dirs_exist_ok=True)
        for kind in ("documents", "rejected", "errors"):
            for path in storage.list_files(many.path(kind), ".parquet"):
                for copy in range(1, copies):
                    shutil.copyfile(path, f"{path.removesuffix('.parquet')}-{copy}.parquet")
        for workspace in (run, many):
            started = time.process_time()
            write_report(workspace)
            seconds.append(time.process_time() - started)
    row_seconds = (seconds[1] - seconds[0]) / (rows * (copies - 1))
    return {"rows": rows, "report_row_ms": 1000 * row_seconds}


def parts(run: Workspace, repeat: int = 5) -> dict[str, Any]:
    """Merging the facts of parts into those of a large run: as many hosts as are held, other ones
    in each part, and every distribution with a value for each of its four digits."""
    rules = [f"rule-{number}" for number in range(30)]
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        whole, seconds, size = RowFacts(), 0.0, 0
        for number in range(repeat + 2):
            path = part_file(workspace, str(number))
            storage.write_bytes(path, _large_part(number, rules).to_json())
            size = storage.size_of(path) or 0
            started = time.process_time()
            whole.merge(RowFacts.from_json(storage.read_bytes(path), workspace))
            # The first ones meet lists that are not full.
            seconds += time.process_time() - started if number > 1 else 0.0
    return {"report_part_ms": 1000 * seconds / repeat, "part_bytes": size}


def _large_part(number: int, rules: list[str]) -> RowFacts:
    part = RowFacts()
    first = number * HOSTS_HELD // 4
    hosts = {f"{first + n:07d}.example.org": n % 50 + 1 for n in range(HOSTS_HELD)}
    values = np.arange(1_000, 10_000)
    part.documents.hosts.add(hosts)
    part.rejected.hosts.add(hosts)
    for rule in rules:
        part.documents.signals[rule] = Distribution()
        part.documents.signals[rule].add(values)
        part.rejected.values[rule].add(values)
    return part


def tokens(run: Workspace, rows: int = 200_000) -> dict[str, Any]:
    """CPU of a row of docs.parquet in the report."""
    seconds = []
    for count in (rows, 4 * rows):
        with tempfile.TemporaryDirectory() as folder:
            copy = Workspace(folder)
            table = storage.read_table(run.shards("docs.parquet"))
            large = pa.concat_tables([table] * (-(-count // len(table)))).slice(0, count)
            storage.write_table(copy.shards("docs.parquet"), large)
            started = time.process_time()
            count_tokens(copy, RowFacts())
            seconds.append(time.process_time() - started)
    return {"report_document_us": 1e6 * (seconds[1] - seconds[0]) / (3 * rows)}


def held(run: Workspace, copies: int = 6, copies_rejected: int = 60) -> dict[str, Any]:
    """Memory that a task of extract holds for each page that it keeps and each that it turns down:
    rows as objects, then as a table, then as a file in memory."""
    kept = {"documents": DOCUMENT_V1, "keys": KEY_V1}
    return {
        "held_bytes_kept": _held_bytes(run, kept, copies),
        # Small rows: few of them would fit into memory that the process has already.
        "held_bytes_rejected": _held_bytes(run, {"rejected": REJECTED_V1}, copies_rejected),
    }


def _held_bytes(run: Workspace, kinds: dict[str, pa.Schema], copies: int) -> float:
    rows: dict[str, list[Any]] = {kind: [] for kind in kinds}
    gc.collect()
    before = after = resident_bytes()
    for kind in kinds:
        for path in storage.list_files(run.work("extract"), f".{kind}.parquet"):
            for _ in range(copies):
                rows[kind] += storage.read_table(path).to_pylist()
    for kind, schema in kinds.items():
        sink = io.BytesIO()
        table = pa.Table.from_pylist(rows[kind], schema=schema)
        pq.write_table(table, sink, compression="zstd")
        after = max(after, resident_bytes())
    return (after - before) / len(next(iter(rows.values())))


def index(rows: tuple[int, int] = (2_000, 40_000), repeat: int = 20) -> dict[str, Any]:
    """CPU of one reference of pack: a task's index read whole, ten rows of it used."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        for count in rows:
            name = f"{count:016x}-000000000000"
            row = {"split": "train", "id": "", "warc_file": f"{_NAME}-00000.warc.gz", "url": ""}
            table = [
                row
                | {
                    "key": number << 40,
                    "id": hashlib.md5(str(number).encode()).hexdigest(),
                    "warc_offset": number * 1000,
                    "tokens": 10,
                    "start": number * 10,
                    "url": f"https://www.example.org/{number}/a-page-of-some-length",
                    "language": "en",
                    "source": "warc",
                }
                for number in range(count)
            ]
            parquet = pa.Table.from_pylist(table, schema=TOKEN_ROW)
            storage.write_table(index_file(workspace, name), parquet)
            storage.write_bytes(token_file(workspace, name), bytes(count * 20))
            _ten_rows(name, workspace)
            started = time.process_time()
            for _ in range(repeat):
                _ten_rows(name, workspace)
            seconds.append((time.process_time() - started) / repeat)
        before = resident_bytes()
        held = list(load_rows(name, read_index(name, workspace), workspace, "uint16"))
        packed = (resident_bytes() - before) / len(held)
    row_seconds = (seconds[1] - seconds[0]) / (rows[1] - rows[0])
    return {
        "packed_document_bytes": packed,
        "pack_reference_ms": 1000 * (seconds[0] - rows[0] * row_seconds),
        "index_row_us": 1e6 * row_seconds,
    }


def _ten_rows(name: str, workspace: Workspace) -> None:
    list(load_rows(name, read_index(name, workspace).slice(0, 10), workspace, "uint16"))


def files(repeat: int = 200) -> dict[str, Any]:
    """CPU of what every task pays: a small Parquet file written and renamed, one read, a marker."""
    table = REJECTED_V1.empty_table()
    spent = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        paths = [workspace.work("extract", f"{n}.parquet") for n in range(repeat)]
        for name, do in {
            "write_file_ms": lambda path: storage.write_table(path, table),
            "read_file_ms": lambda path: storage.read_table(path).to_pylist(),
            "marker_ms": lambda path: Marker(f"{path}.done.json").write("k", {}, [path]),
        }.items():
            started = time.process_time()
            for path in paths:
                do(path)
            spent[name] = 1000 * (time.process_time() - started) / repeat
    return spent


def sample(run: Workspace, repeat: int = 5) -> dict[str, Any]:
    """CPU of reading a document to see whether it is in the tokenizer's sample."""
    paths, rows = storage.list_files(run.path("documents"), ".parquet"), 0
    started = time.process_time()
    for _ in range(repeat):
        for path in paths:
            table = storage.read_table(path, ["id", "split", "text"])
            for id_, _, _ in zip(*(c.to_pylist() for c in table.columns), strict=True):
                xxhash.xxh3_64_intdigest(id_.encode(), seed=1)
                rows += 1
    return {"sample_document_ms": 1000 * (time.process_time() - started) / rows}


def docs(run: Workspace, rows: int = 100_000) -> dict[str, Any]:
    """CPU and memory of a document while the rows of a shard are joined to docs.parquet."""
    table = storage.read_table(run.shards("docs.parquet"))
    large = pa.concat_tables([table] * (-(-rows // len(table))))
    with tempfile.TemporaryDirectory() as folder:
        path = storage.join(folder, "docs.parquet")
        storage.write_table(path, large)
        started = time.process_time()
        pq.write_table(storage.read_table(path), path, compression="zstd")
        cpu_seconds = time.process_time() - started
    return {
        "docs_row_us": 1e6 * cpu_seconds / len(large),
        "docs_memory_bytes": 2 * large.nbytes / len(large),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    names = ["plan", "markers", "report", "parts", "tokens", "held", "index", "files"]
    names += ["sample", "docs"]
    parser.add_argument("what", choices=names)
    parser.add_argument("--files", type=int, default=90_000)
    parser.add_argument("--segment-mb", type=float, default=1024)
    parser.add_argument("--no-graph", action="store_true")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--run", type=Path)
    arguments = parser.parse_args()
    run = Workspace(str(arguments.run))
    do: dict[str, Callable[[], dict[str, Any]]] = {
        "plan": lambda: plan(
            arguments.files, int(arguments.segment_mb * _MB), not arguments.no_graph
        ),
        "markers": lambda: markers(arguments.count, run),
        "report": lambda: report(run),
        "parts": lambda: parts(run),
        "tokens": lambda: tokens(run),
        "held": lambda: held(run),
        "index": index,
        "files": files,
        "sample": lambda: sample(run),
        "docs": lambda: docs(run),
    }
    print(json.dumps(do[arguments.what](), indent=1))


if __name__ == "__main__":
    main()
