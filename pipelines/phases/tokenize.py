"""Phase 4, first half: each task's documents as tokens, sorted by shuffle key.

The global order is by hashed id, so that it is the same however the input was cut. Sorting here
makes every shard a contiguous range of every task's tokens: the second half merges ranges and no
token crosses a shuffle.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import xxhash

from pipelines import storage
from pipelines.phases.lists import ReadList, write_list
from pipelines.phases.tokenizer import load_tokenizer
from pipelines.same_versions import Versioned
from pipelines.workspace import DONE_SUFFIX, Marker, Workspace
from stages.tokens import Tokenizer

FOLDER = "tokens"
BATCH_DOCUMENTS = 64

TOKEN_ROW = pa.schema(
    [
        ("split", pa.string()),
        ("key", pa.uint64()),
        ("id", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("tokens", pa.int32()),
        ("start", pa.int64()),
        ("url", pa.string()),
        ("language", pa.string()),
        ("source", pa.string()),
    ]
)
"""A document's place in the token file: `start` and `tokens` count tokens; sorted by the first
five columns."""

_READ = ["id", "split", "text", "url", "language", "source", "warc_file", "warc_offset"]


def shuffle_key(document_id: str, seed: int) -> int:
    """The document's place in the global order: an unsigned 64-bit hash of its id.

    Prefixed, so that it is independent of the hash that decides the split: otherwise validation
    would be one end of the order, and shards of very unequal size.
    """
    return xxhash.xxh3_64_intdigest(b"order:" + document_id.encode(), seed=seed)


def tokenize_task(
    name: str, key: str, workspace: Workspace, tokenizer: Tokenizer, seed: int, threads: int
) -> dict[str, Any]:
    """Write the task's tokens and their index; returns the marker's content.

    A task that is complete for `key` is taken over, as by extract.
    """
    marker = Marker(workspace.work(FOLDER, name + DONE_SUFFIX))
    if (done := marker.read(key)) is not None:
        return done
    started, cpu_started = time.monotonic(), time.process_time()
    rows = storage.read_table(workspace.path("documents", f"{name}.parquet"), _READ).to_pylist()
    for row in rows:
        row["key"] = shuffle_key(row["id"], seed)
    rows.sort(key=lambda r: (r["split"], r["key"], r["id"], r["warc_file"], r["warc_offset"]))
    tokens_by_split: Counter[str] = Counter()
    with storage.new_file(token_file(workspace, name)) as handle:
        start = 0
        for row, tokens in _encoded(rows, tokenizer, threads):
            handle.write(tokens.tobytes())
            row.update(start=start, tokens=len(tokens))
            start += len(tokens)
            tokens_by_split[row["split"]] += len(tokens)
    table = pa.Table.from_pylist(rows, schema=TOKEN_ROW)
    files = [token_file(workspace, name), index_file(workspace, name)]
    storage.write_table(files[1], table)
    content = {
        "counts": {"in": len(rows), "kept": len(rows), "rejected": 0, "errors": 0},
        "tokens": dict(tokens_by_split),
        "cpu_seconds_by_step": {"tokenize": round(time.process_time() - cpu_started, 6)},
        "seconds": round(time.monotonic() - started, 3),
    }
    marker.write(key, content, files)
    return content


def _encoded(
    rows: list[dict[str, Any]], tokenizer: Tokenizer, threads: int
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Each row with its tokens and the end-of-document token, as little-endian integers."""
    dtype = np.dtype(tokenizer.dtype).newbyteorder("<")
    for first in range(0, len(rows), BATCH_DOCUMENTS):
        batch = rows[first : first + BATCH_DOCUMENTS]
        encoded = tokenizer.encode_batch([row.pop("text") for row in batch], threads=threads)
        for row, tokens in zip(batch, encoded, strict=True):
            yield row, np.append(tokens, tokenizer.eos_id).astype(dtype)


def token_file(workspace: Workspace, name: str) -> str:
    """Raw tokens of a task, documents in the order of its index."""
    return workspace.work(FOLDER, f"{name}.bin")


def index_file(workspace: Workspace, name: str) -> str:
    """TOKEN_ROW Parquet beside the token file."""
    return workspace.work(FOLDER, f"{name}.index.parquet")


class TokenizeDoFn(Versioned):
    """Task name -> nothing; the files are the output."""

    def __init__(self, workspace: Workspace, key: str, seed: int, threads: int) -> None:
        super().__init__()
        self._workspace = workspace
        self._key = key
        self._seed = seed
        self._threads = threads

    def start(self) -> None:
        """The model is read once a worker."""
        self._tokenizer = load_tokenizer(self._workspace)

    def process(self, name: str) -> None:
        """Tokenize one task."""
        tokenize_task(name, self._key, self._workspace, self._tokenizer, self._seed, self._threads)


def build(
    pipeline: beam.Pipeline,
    names: list[str],
    key: str,
    workspace: Workspace,
    seed: int,
    threads: int,
) -> None:
    """Tokenize every task that is not done."""
    (
        pipeline
        | "Tasks" >> ReadList(write_list(workspace.work("lists"), names))
        | "Tokenize" >> beam.ParDo(TokenizeDoFn(workspace, key, seed, threads))
    )
