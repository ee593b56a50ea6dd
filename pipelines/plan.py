"""What a run will do: its inputs cut into tasks, written down before any work starts.

Tasks depend on the inputs alone, never on the number of workers, so that a resumed run finds the
pieces that an interrupted one finished.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import pyarrow.parquet as pq
import xxhash

from pipelines import storage
from pipelines.storage import InputFile
from pipelines.workspace import Workspace
from schemas.errors import InputError, UsageError
from schemas.page import Damage, Page, Skipped
from schemas.recipe import Recipe
from stages.rows import page_of_row, read_json_lines
from stages.warc import Segment, plan_segments, read_segment

SEGMENT_BYTES = 16 * 1024 * 1024
"""About a hundred seconds of work for one core: small enough to spread, to resume and to retry."""

Kind = Literal["warc", "jsonl", "jsonl.gz", "parquet"]
_SUFFIXES: tuple[tuple[str, Kind], ...] = (
    (".jsonl", "jsonl"),
    (".json", "jsonl"),
    (".ndjson", "jsonl"),
    (".jsonl.gz", "jsonl.gz"),
    (".json.gz", "jsonl.gz"),
    (".ndjson.gz", "jsonl.gz"),
    (".parquet", "parquet"),
)


class Task(NamedTuple):
    """One piece of one input: byte ranges of WARC and JSONL, row ranges of Parquet."""

    name: str
    kind: Kind
    path: str
    start: int
    end: int
    size: int


class Plan(NamedTuple):
    """Inputs, settings and tasks of a run."""

    recipe: Recipe
    inputs: list[InputFile]
    tasks: list[Task]
    limit: int | None
    annotated: bool = False
    """Keep every page with text, with all signals."""
    decided_from: str = ""
    """Folder of the annotated run that stands in for the inputs."""
    decided_key: str = ""
    """That run's key."""

    @property
    def recipe_hash(self) -> str:
        """The recipe's hash: part of every resume key and of every document."""
        return self.recipe.hash()

    @property
    def key(self) -> str:
        """Work done under this key can be taken over: same recipe, inputs and limit."""
        content = [self.recipe_hash, self.limit, [list(f) for f in self.inputs], *self._origin]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def task_key(self, task: Task) -> str:
        """As `key`, for one task: other inputs may come and go."""
        stamp = next(f.stamp for f in self.inputs if f.path == task.path)
        content = [self.recipe_hash, list(task), stamp, *self._origin]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def _origin(self) -> list[str]:
        """What sets the work of an annotated or decided run apart from that of a plain one."""
        return [self.decided_key or "annotated"] if self.annotated or self.decided_key else []

    def to_json(self) -> bytes:
        """As written to OUT/.work/plan.json."""
        content = {
            "recipe_hash": self.recipe_hash,
            "recipe": self.recipe.model_dump(mode="json"),
            "inputs": [list(f) for f in self.inputs],
            "limit": self.limit,
            "tasks": [list(task) for task in self.tasks],
            "annotated": self.annotated,
            "decided_from": self.decided_from,
            "decided_key": self.decided_key,
        }
        return json.dumps(content, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """Read what to_json wrote."""
        content = json.loads(data)
        return cls(
            recipe=Recipe.model_validate(content["recipe"]),
            inputs=[InputFile(*fields) for fields in content["inputs"]],
            tasks=[Task(*fields) for fields in content["tasks"]],
            limit=content["limit"],
            annotated=content["annotated"],
            decided_from=content["decided_from"],
            decided_key=content["decided_key"],
        )


def make_plan(
    recipe: Recipe,
    inputs: list[InputFile],
    limit: int | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> Plan:
    """Cut the inputs into tasks; with `limit`, into those that hold the first `limit` pages."""
    tasks = [task for file in inputs for task in _tasks_of(file, segment_bytes)]
    if limit is not None:
        tasks = list(_first_pages(tasks, limit))
    return Plan(recipe, inputs, tasks, limit)


def kind_of(path: str) -> Kind:
    """By name; whatever is not JSONL or Parquet is read as WARC (or ARC, or WET)."""
    name = path.lower().split("?", 1)[0]
    return next((kind for suffix, kind in _SUFFIXES if name.endswith(suffix)), "warc")


def _tasks_of(file: InputFile, segment_bytes: int) -> list[Task]:
    kind = kind_of(file.path)
    if kind == "warc":
        segments = plan_segments(file.path, file.size, segment_bytes)
        ranges = [(s.start, s.end) for s in segments] or [(0, 0)]
    elif kind == "jsonl":
        cuts = [*range(0, max(file.size, 1), segment_bytes), file.size]
        ranges = list(itertools.pairwise(cuts))
    elif kind == "jsonl.gz":
        ranges = [(0, 2**62)]
    else:
        ranges = _row_ranges(file.path)
    stem = xxhash.xxh64_hexdigest(file.path.encode("utf-8", "surrogateescape"))
    return [
        Task(f"{stem}-{start:012d}", kind, file.path, start, end, file.size)
        for start, end in ranges
    ]


def _row_ranges(path: str) -> list[tuple[int, int]]:
    try:
        with storage.open_input(path) as handle:
            metadata = pq.ParquetFile(handle).metadata
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a Parquet file: {' '.join(str(error).split())}") from error
    cuts = [0]
    for index in range(metadata.num_row_groups):
        cuts.append(cuts[-1] + metadata.row_group(index).num_rows)
    return list(itertools.pairwise(cuts)) or [(0, 0)]


def read_task(task: Task) -> Iterator[Page | Skipped | Damage]:
    """Everything that lies in a task's range, in file order. Raises InputError only when the
    file cannot be opened."""
    with storage.open_input(task.path) as handle:
        if task.kind == "warc":
            yield from read_segment(handle, Segment(task.path, task.start, task.end, task.size))
        elif task.kind == "parquet":
            yield from _read_parquet(handle, task)
        elif task.kind == "jsonl":
            yield from read_json_lines(handle, task.start, task.end, _base_name(task.path))
        else:
            yield from _read_gzip_lines(handle, task)


def _read_gzip_lines(handle: BinaryIO, task: Task) -> Iterator[Page | Damage]:
    with gzip.open(handle, "rb") as lines:
        position = 0
        try:
            for page in read_json_lines(
                cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, lines))),
                task.start,
                task.end,
                _base_name(task.path),
            ):
                position = page.warc_offset if isinstance(page, Page) else page.offset
                yield page
        except (EOFError, OSError, ValueError) as error:
            yield Damage(position, 0, "corrupt_gzip", " ".join(str(error).split())[:200])


def _read_parquet(handle: BinaryIO, task: Task) -> Iterator[Page | Damage]:
    file = pq.ParquetFile(handle)
    first = 0
    for index in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(index).num_rows
        if task.start <= first < task.end:
            yield from _read_row_group(file, index, first, _base_name(task.path))
        first += rows


def _read_row_group(
    file: pq.ParquetFile, index: int, first: int, name: str
) -> Iterator[Page | Damage]:
    try:
        rows = file.read_row_group(index).to_pylist()
    except (OSError, ValueError) as error:
        yield Damage(first, 0, "corrupt_row_group", " ".join(str(error).split())[:200])
        return
    for number, row in enumerate(rows):
        yield page_of_row(row, name, first + number, "parquet")


def _base_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _first_pages(tasks: list[Task], limit: int) -> Iterator[Task]:
    """The tasks, the last one cut short, that hold the first `limit` pages."""
    left = limit
    for task in tasks:
        if left <= 0:
            return
        end = task.end
        for event in read_task(task):
            if isinstance(event, Page):
                left -= 1
                if left <= 0:
                    end = event.warc_offset + 1
                    break
        yield task._replace(end=min(end, task.end))


def claim_output(plan: Plan, workspace: Workspace, resume: bool) -> None:
    """Write the plan down, after checking that the folder is ours to use.

    Raises:
        UsageError: the folder holds a run of another recipe or kind.
    """
    if not resume:
        discard_run(workspace)
    elif storage.exists(workspace.plan_file):
        before = json.loads(storage.read_bytes(workspace.plan_file))
        if before["recipe_hash"] != plan.recipe_hash:
            raise UsageError(
                f"{workspace.output} holds a run of recipe {before['recipe']['name']} "
                f"({before['recipe_hash'][:12]}), not {plan.recipe.name} "
                f"({plan.recipe_hash[:12]}): choose another --output, or --no-resume to replace it"
            )
        if _kind(before) != _kind(plan._asdict()):
            raise UsageError(
                f"{workspace.output} holds {_kind(before)}, not {_kind(plan._asdict())}: "
                "choose another --output, or --no-resume to replace it"
            )
    storage.write_bytes(workspace.plan_file, plan.to_json())


def _kind(plan: Mapping[str, Any]) -> str:
    if plan.get("decided_from"):
        return "a run of decide"
    return "an annotated run" if plan.get("annotated") else "a run of curate"


OWNED = [
    ".work",
    "documents",
    "rejected",
    "errors",
    "verdicts",
    "clusters",
    "shards",
    "run.json",
    "report.html",
    "DATA_CARD.md",
]


def discard_run(workspace: Workspace) -> None:
    """Remove what a run leaves, and nothing else."""
    for name in OWNED:
        storage.remove(workspace.path(name))
