"""Bytes that cross each shuffle, as Beam's own local runner receives them.

FnApiRunner hands what a worker sends into a GroupByKey to a buffer as bytes, encoded by the coder
that Beam chose for the pipeline: key, value and window of every element. `shuffles()` counts these
bytes by graph and transform while the block runs. Reshuffles are GroupByKeys there, combiners
come after their local part (what is lifted before the shuffle is not counted, as on a cluster).
Side inputs are counted where they are handed to the workers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.runners.portability.fn_api_runner import execution

from benchmarks.peak_memory import peak_bytes, reset_peak
from pipelines.phases.dedup import run_dedup
from schemas.recipe import Dedup
from schemas.tables import KEY_V1

GRAPHS = {
    "Extract": "extract",
    "ReadKeys": "dedup",
    "Round": "dedup",
    "Finish": "finish",
    "Tokenize": "tokenize",
    "Pack": "pack",
    "Train": "tokenizer",
}
"""A transform that only one phase's graph has -> the phase."""
BANDS = 14


class Shuffled(NamedTuple):
    """Bytes by phase and transform."""

    grouped: defaultdict[str, Counter[str]]
    side_inputs: defaultdict[str, Counter[str]]
    rounds: list[str]
    """A name for each graph of a round of stars."""

    def total(self, phase: str) -> int:
        return self.grouped[phase].total()


def _tops(context: Any) -> set[str]:
    names = (t.unique_name for t in context.pipeline_components.transforms.values())
    return {name.split("/", 1)[0] for name in names}


def _phase_of(context: Any) -> str:
    tops = _tops(context)
    return next((phase for name, phase in GRAPHS.items() if name in tops), "other")


@contextmanager
def shuffles() -> Iterator[Shuffled]:
    """Count while the block runs pipelines in this process on FnApiRunner."""
    counted = Shuffled(defaultdict(Counter), defaultdict(Counter), [])
    begin = execution.FnApiRunnerExecutionContext.__init__
    get_buffer = execution.BundleContextManager.get_buffer
    commit = execution.FnApiRunnerExecutionContext.commit_side_inputs_to_state

    def counting_begin(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        counted.rounds.extend(_tops(self) & {"Round"})

    def counting_buffer(self: Any, buffer_id: bytes, transform_id: str) -> Any:
        buffer = get_buffer(self, buffer_id, transform_id)
        if isinstance(buffer, execution.GroupingBuffer) and "append" not in vars(buffer):
            context = self.execution_context
            _, gbk = execution.split_buffer_id(buffer_id)
            name = context.pipeline_components.transforms[gbk].unique_name
            counts, append = counted.grouped[_phase_of(context)], buffer.append

            def counting_append(data: bytes) -> None:
                counts[name] += len(data)
                append(data)

            vars(buffer)["append"] = counting_append
        return buffer

    def counting_commit(self: Any, data_side_input: Any) -> None:
        counts = counted.side_inputs[_phase_of(self)]
        for (transform, _), (buffer_id, _) in data_side_input.items():
            data = self.pcoll_buffers.get(buffer_id)
            counts[transform] += sum(map(len, data)) if data is not None else 0
        commit(self, data_side_input)

    context, bundle = execution.FnApiRunnerExecutionContext, execution.BundleContextManager
    patches = [
        (context, "__init__", counting_begin, begin),
        (bundle, "get_buffer", counting_buffer, get_buffer),
        (context, "commit_side_inputs_to_state", counting_commit, commit),
    ]
    for owner, name, counting, _ in patches:
        setattr(owner, name, counting)
    try:
        yield counted
    finally:
        for owner, name, _, original in patches:
            setattr(owner, name, original)


def key_table(rows: int, dropped_share: float, segment: str, seed: int) -> pa.Table:
    """Documents as phase 1 describes them, of which a share agrees with an earlier one.

    Near duplicates agree in 6 of 14 bands with one document of the first part of the file.
    """
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, size=(rows, BANDS), dtype=np.uint64)
    copies = int(rows * dropped_share)
    if copies:
        heads = random.integers(0, rows - copies, size=copies)
        for row, head in enumerate(heads, start=rows - copies):
            shared = random.choice(BANDS, size=6, replace=False)
            hashes[row, shared] = hashes[head, shared]
    ids = [random.bytes(16).hex() for _ in range(rows)]
    columns: dict[str, list[Any]] = {
        "id": ids,
        "segment": [segment] * rows,
        "row": list(range(rows)),
        "warc_file": ["1715971057216.39/warc/CC-MAIN-20240517233122-00000.warc.gz"] * rows,
        "warc_offset": random.integers(0, 2**30, size=rows).tolist(),
        "date": ["2024-05-18T01:58:10Z"] * rows,
        "n_chars": random.integers(300, 30_000, size=rows).tolist(),
        "language_score": random.random(rows).tolist(),
        "url_key": random.integers(1, 2**63, size=rows).tolist(),
        "content_hash": [random.bytes(16).hex() for _ in range(rows)],
        "bands": [row.tobytes() for row in hashes],
    }
    return pa.table({name: columns[name] for name in KEY_V1.names}, schema=KEY_V1)


def dedup_rows(
    rows: int, dropped_share: float, edge_limit: int, folder: Path, rows_per_file: int = 7_000
) -> dict[str, Any]:
    """Deduplicate made-up keys in this process; CPU seconds and bytes by transform."""
    files = []
    for number in range(-(-rows // rows_per_file)):
        here = min(rows_per_file, rows - number * rows_per_file)
        files.append(str(folder / f"{number}.keys.parquet"))
        table = key_table(here, dropped_share, f"{number:016x}-000000000000", number)
        pq.write_table(table, files[-1])
    before = reset_peak()
    started, cpu_started = time.monotonic(), time.process_time()
    with shuffles() as counted:
        counts = run_dedup(files, str(folder / "clusters"), Dedup(), None, edge_limit=edge_limit)
    return {
        "rows": rows,
        "dropped": sum(counts.rejected_by_method.values()),
        "cpu_seconds": time.process_time() - cpu_started,
        "seconds": time.monotonic() - started,
        "shuffle_bytes": counted.total("dedup"),
        "by_transform": dict(counted.grouped["dedup"].most_common()),
        "rounds": len(counted.rounds),
        "grown_bytes": peak_bytes() - before,
        "side_input_bytes": counted.side_inputs["dedup"].total(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Deduplicate made-up keys in this process.")
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--dropped-share", type=float, default=0.4)
    parser.add_argument("--edge-limit", type=int, default=5_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = dedup_rows(
            arguments.rows, arguments.dropped_share, arguments.edge_limit, Path(folder)
        )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
