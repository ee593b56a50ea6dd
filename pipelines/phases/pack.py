"""Phase 4, second half: ranges of the tasks' sorted tokens merged into Megatron shards.

A shard is a range of the 64-bit shuffle key, so its content depends on the documents and on the
number of shards, which follows from the number of tokens. What crosses the shuffle are references
(task or merged run, rows); the tokens are read where they lie.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import storage
from pipelines.phases import tokenizer as tokenizer_phase
from pipelines.phases.lists import ReadList, write_list
from pipelines.phases.merge import FEW_REFERENCES, MergeDoFn, merge_groups
from pipelines.phases.token_rows import Dtype, TokenRow, load_rows, read_index
from pipelines.phases.tokenize import index_file
from pipelines.same_versions import Versioned
from pipelines.workspace import DONE_SUFFIX, Marker, Workspace
from schemas.shards import (
    DOCS_NAME,
    MANIFEST_NAME,
    ShardChecksums,
    ShardEntry,
    ShardManifestV1,
    TokenizerFile,
)
from schemas.tables import SHARD_DOC_V1
from stages.tokens import IndexedStream

FOLDER = "pack"


class ShardRange(NamedTuple):
    """One shard: the `number`-th of `total` equal ranges of the key space of a split."""

    split: str
    number: int
    total: int

    @property
    def path(self) -> str:
        """Path prefix below OUT/shards."""
        return f"{self.split}/shard-{self.number:05d}"

    @property
    def marker_name(self) -> str:
        """Name of its marker in .work/pack."""
        return f"{self.split}-{self.number:05d}"


class Rows(NamedTuple):
    """Consecutive rows of the token index of a task or of a merged run."""

    task: str
    first: int
    n_rows: int


def plan_shards(tokens_by_split: Counter[str], tokens_per_shard: int) -> list[ShardRange]:
    """As many shards a split as its tokens need; none for a split without tokens."""
    shards = []
    for split in sorted(tokens_by_split):
        total = -(-tokens_by_split[split] // tokens_per_shard)
        shards += [ShardRange(split, number, total) for number in range(total)]
    return shards


def shard_runs(
    split: list[str], key: np.ndarray, totals: dict[str, int]
) -> Iterator[tuple[ShardRange, int, int]]:
    """(shard, first row, rows) for rows sorted by split and key."""
    names = np.array(split)
    for name, total in sorted(totals.items()):
        first, last = np.searchsorted(names, name), np.searchsorted(names, name, side="right")
        numbers = [int(k) * total >> 64 for k in key[first:last].tolist()]
        begin = 0
        for row in range(1, len(numbers) + 1):
            if row == len(numbers) or numbers[row] != numbers[begin]:
                yield ShardRange(name, numbers[begin], total), int(first) + begin, row - begin
                begin = row


class SplitByShard(beam.DoFn):
    """Task name -> (shard, reference to its rows there)."""

    def __init__(self, workspace: Workspace, totals: dict[str, int]) -> None:
        self._workspace = workspace
        self._totals = totals

    def process(self, task: str) -> Iterator[tuple[tuple[str, int, int], tuple[str, int, int]]]:
        """Only keys and splits are read."""
        table = storage.read_table(index_file(self._workspace, task), ["split", "key"])
        keys = table.column("key").to_numpy()
        for shard, first, count in shard_runs(
            table.column("split").to_pylist(), keys, self._totals
        ):
            yield (shard.split, shard.number, shard.total), (task, first, count)


class PackDoFn(Versioned):
    """(shard, references) -> nothing; the shard's files and marker are the output."""

    def __init__(self, workspace: Workspace, dtype: Dtype, key: str, done: frozenset[str]) -> None:
        super().__init__()
        self._workspace = workspace
        self._dtype = dtype
        self._key = key
        self._done = done

    def process(self, element: tuple[tuple[str, int, int], Iterable[tuple[str, int, int]]]) -> None:
        """Write one shard, unless a run before did."""
        shard = ShardRange(*element[0])
        if shard.marker_name not in self._done:
            references = sorted(Rows(*r) for r in element[1])
            pack_shard(shard, references, self._workspace, self._dtype, self._key)


def pack_shard(
    shard: ShardRange, references: list[Rows], workspace: Workspace, dtype: Dtype, key: str
) -> dict[str, Any]:
    """Merge the referenced rows by key and write .bin, .idx, the document rows and the marker.

    Holds one shard's tokens in memory (tokens_per_shard times 2 or 4 bytes).
    """
    started, cpu_started = time.monotonic(), time.process_time()
    rows: list[TokenRow] = []
    for reference in references:
        index = read_index(reference.task, workspace)
        index = index.slice(reference.first, reference.n_rows)
        rows += load_rows(reference.task, index, workspace, dtype)
    rows.sort(key=lambda r: r.order)
    prefix = workspace.shards(shard.path)
    with storage.new_file(f"{prefix}.bin") as handle:
        stream = IndexedStream(handle, dtype)
        for _, _, tokens in rows:
            stream.write(tokens)
    index = stream.index()
    storage.write_bytes(f"{prefix}.idx", index)
    _write_docs(shard, [row for _, row, _ in rows], workspace)
    files = [f"{prefix}.bin", f"{prefix}.idx", docs_file(workspace, shard.marker_name)]
    content = {
        "entry": ShardEntry(
            path=shard.path,
            split=shard.split,
            docs=stream.docs,
            tokens=stream.tokens,
            sha256=ShardChecksums(bin=stream.bin_sha256, idx=hashlib.sha256(index).hexdigest()),
        ).model_dump(),
        "counts": {"in": len(rows), "kept": stream.docs, "rejected": 0, "errors": 0},
        "cpu_seconds_by_step": {"pack": round(time.process_time() - cpu_started, 6)},
        "seconds": round(time.monotonic() - started, 3),
    }
    Marker(workspace.work(FOLDER, shard.marker_name + DONE_SUFFIX)).write(key, content, files)
    return content


def _write_docs(shard: ShardRange, rows: list[dict[str, Any]], workspace: Workspace) -> None:
    for position, row in enumerate(rows):
        row.update(shard=shard.number, position=position)
    table = pa.Table.from_pylist(rows, schema=SHARD_DOC_V1)
    storage.write_table(docs_file(workspace, shard.marker_name), table)


def docs_file(workspace: Workspace, marker_name: str) -> str:
    """Document rows of one shard, before they are joined to shards/docs.parquet."""
    return workspace.work(FOLDER, f"{marker_name}.docs.parquet")


def build(
    pipeline: beam.Pipeline,
    tasks: list[str],
    shards: list[ShardRange],
    workspace: Workspace,
    dtype: Dtype,
    key: str,
    done: frozenset[str],
    few_references: int = FEW_REFERENCES,
) -> None:
    """References grouped by shard, then one writer a shard; more than `few_references` of them
    are made fewer by merging tasks first."""
    totals = {shard.split: shard.total for shard in shards}
    groups = merge_groups(tasks, len(shards), few_references)
    runs = pipeline | "Tasks" >> ReadList(write_list(workspace.work("lists"), groups or tasks))
    if groups:
        runs = runs | "Merge" >> beam.ParDo(MergeDoFn(workspace, dtype, key))
    (
        runs
        | "SplitByShard" >> beam.ParDo(SplitByShard(workspace, totals))
        | "ByShard" >> beam.GroupByKey()
        | "Pack" >> beam.ParDo(PackDoFn(workspace, dtype, key, done))
    )


def _join_docs(names: list[str], workspace: Workspace) -> None:
    """A row group a shard: the rows of one shard at a time are in memory."""
    with (
        storage.new_file(workspace.shards(DOCS_NAME)) as handle,
        pq.ParquetWriter(handle, SHARD_DOC_V1, compression="zstd") as docs,
    ):
        for name in names:
            docs.write_table(storage.read_table(docs_file(workspace, name)))


def write_manifest(
    workspace: Workspace, contents: dict[str, dict[str, Any]], recipe_hash: str
) -> ShardManifestV1:
    """Join the document rows and write the manifest, last: a manifest means whole shards.

    `contents` maps the shards' marker names to what pack_shard() recorded.
    """
    tokenizer = tokenizer_phase.load_tokenizer(workspace)
    names = sorted(contents)
    entries = [ShardEntry(**contents[name]["entry"]) for name in names]
    _join_docs(names, workspace)
    dtype = cast(Dtype, tokenizer.dtype)
    manifest = ShardManifestV1(
        tokenizer=TokenizerFile(file=tokenizer_phase.FILE_NAME, sha256=tokenizer.sha256),
        vocab_size=tokenizer.vocab_size,
        eos_id=tokenizer.eos_id,
        dtype=dtype,
        shards=entries,
        recipe_hash=recipe_hash,
        fingerprint=ShardManifestV1.fingerprint_of(
            tokenizer.sha256, tokenizer.vocab_size, tokenizer.eos_id, dtype, entries
        ),
    )
    storage.write_bytes(workspace.shards(MANIFEST_NAME), manifest.to_json().encode())
    return manifest
