"""Which parts the facts of a large run's rows are counted in, and where they lie.

The report is about every row of a run. Reading them takes about 0.03 ms a row: hours for a crawl.
So above ROWS_AT_ONCE rows the workers count parts of the rows (phase summarize), and the report
merges them. Parts stand in OUT/.work/facts until files of the run change. The report is the same
either way, but for hosts: beyond those that are held, counts are lower bounds that depend on the
order in which rows are met (pipelines.report.distribution).
"""

from __future__ import annotations

import hashlib
import json
from math import isqrt
from typing import NamedTuple

from pipelines import storage
from pipelines.workspace import Marker, Workspace

FOLDER = "facts"
_DONE = "facts.done.json"
_SUFFIX = ".json"

ROWS_AT_ONCE = 1_000_000
"""Rows that the report reads by itself: about half a minute."""
LEAST_PARTS = 64
"""Parts that are merged in a few seconds."""


class Part(NamedTuple):
    """What one element of phase summarize counts."""

    name: str
    tasks: list[str]
    clusters: list[str]
    """Files of OUT/.work/clusters."""


def plan_parts(key: str, tasks: list[str], cluster_files: list[str]) -> list[Part]:
    """The rows of tasks and clusters, spread over as many parts as tasks are in each, so that
    neither the counting nor the merging is long; a few more for a few tasks.

    `key` is the run's; parts of another one have other names.
    """
    count = max(1, min(len(tasks), max(isqrt(len(tasks)), LEAST_PARTS)))
    clusters = [path.rsplit("/", 1)[-1] for path in cluster_files]
    parts = []
    for index in range(count):
        content = [tasks[index::count], clusters[index::count]]
        digest = hashlib.sha256(json.dumps([key, content]).encode()).hexdigest()[:16]
        parts.append(Part(f"{index:05d}-{digest}", *content))
    return parts


def part_file(workspace: Workspace, name: str) -> str:
    """Where the facts of a part are written."""
    return workspace.work(FOLDER, name + _SUFFIX)


def missing(workspace: Workspace, parts: list[Part]) -> list[Part]:
    """The parts that are not counted yet."""
    there = set(storage.list_files(workspace.work(FOLDER), _SUFFIX))
    return [part for part in parts if part_file(workspace, part.name) not in there]


def declare_whole(workspace: Workspace, parts: list[Part], recipe_hash: str) -> None:
    """Say that these parts together are about all rows of the run."""
    names = [part.name for part in parts]
    files = [part_file(workspace, name) for name in names]
    Marker(workspace.work(_DONE)).write(recipe_hash, {"parts": names}, files)


def whole(workspace: Workspace, recipe_hash: str) -> list[str]:
    """The files that together are about all rows; none where the rows must be read."""
    content = Marker(workspace.work(_DONE)).read(recipe_hash)
    return [part_file(workspace, name) for name in content["parts"]] if content else []


def remove(workspace: Workspace) -> None:
    """To be called before files of the run change."""
    storage.remove(workspace.work(_DONE))
    storage.remove_folder(workspace.work(FOLDER))
