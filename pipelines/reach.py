"""Where a runner's workers are, and whether they can read and write the paths of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
)

from pipelines import engine
from pipelines.assets import cache_folder
from pipelines.names import is_remote, shown
from pipelines.pool import default_workers
from pipelines.storage import NO_PLACES
from schemas.errors import UsageError
from schemas.recipe import Recipe
from stages.language import PACKAGED

CLOUD_RUNNERS = frozenset({"DataflowRunner", "TestDataflowRunner"})
"""Their workers share no disk with anybody."""
CLUSTER_RUNNERS = frozenset(
    {"FlinkRunner", "SparkRunner", "PortableRunner", "KafkaStreamsRunner", "PrismRunner"}
)
LOOPBACK = "LOOPBACK"
"""Beam's name for workers in the process that submits the job."""
_SPARK_LOCAL = re.compile(r"local(\[.+\])?")
_FLINK_LOCAL = frozenset({"[local]", "[auto]"})

URL_LISTS, LANGUAGE_MODEL, BENCHMARKS = "url.lists", "language.model", "decontamination.benchmarks"
_RECIPE_FILES = frozenset({URL_LISTS, LANGUAGE_MODEL, BENCHMARKS})

REMOTE_WORKERS = 1
"""Children of one worker process elsewhere: there the runner starts a process a core."""


class NamedPath(NamedTuple):
    """A path and where the user gave it."""

    name: str
    path: str


def on_this_machine(options: PipelineOptions) -> bool:
    """Whether the workers are here, by the rules of Beam's own runners: Spark with a local
    master, Flink without one and Prism run them in this process unless told otherwise."""
    runner = engine.runner_name(options)
    if runner in CLOUD_RUNNERS:
        return False
    if runner not in CLUSTER_RUNNERS:
        return True
    portable = options.view_as(PortableOptions)
    if portable.environment_type:
        return bool(portable.environment_type == LOOPBACK)
    if portable.output_executable_path:
        return False
    if runner == "SparkRunner":
        master = options.view_as(SparkRunnerOptions).spark_master_url
        return _SPARK_LOCAL.fullmatch(master or "") is not None
    if runner == "FlinkRunner":
        return options.view_as(FlinkRunnerOptions).flink_master in _FLINK_LOCAL
    return runner == "PrismRunner"


def workers_of(options: PipelineOptions, asked: int | None) -> int:
    """Children a worker process: one a core here, REMOTE_WORKERS elsewhere, or what was asked."""
    return asked or (default_workers() if on_this_machine(options) else REMOTE_WORKERS)


def paths_of(
    inputs: Iterable[str], output: str, recipe: Recipe, places: Mapping[str, str] = NO_PLACES
) -> Iterator[NamedPath]:
    """Everything that workers open by name; `places` names inputs that were not given with
    --input. A tokenizer model is none of it: the driver copies it to OUT/shards."""
    yield from (NamedPath(places.get(path, "--input"), path) for path in inputs)
    yield NamedPath("--output", output)
    # Files in the cache folder are in the workers' image, as the block list is.
    cache = f"{cache_folder()}/"
    named = [NamedPath(URL_LISTS, entry.file) for entry in recipe.url.lists]
    if recipe.language.model not in PACKAGED:
        named.append(NamedPath(LANGUAGE_MODEL, recipe.language.model))
    if recipe.decontamination is not None:
        named += [NamedPath(BENCHMARKS, entry.file) for entry in recipe.decontamination.benchmarks]
    yield from (entry for entry in named if not entry.path.startswith(cache))


def for_workers(options: PipelineOptions, path: str) -> str:
    """A local path as workers elsewhere must be told it: they start in other folders."""
    if on_this_machine(options) or is_remote(path):
        return path
    return os.path.abspath(path)


def check_reach(options: PipelineOptions, paths: Iterable[NamedPath]) -> str | None:
    """A line of warning when workers elsewhere need a disk that they share with this machine.

    Raises UsageError for a local path that a cloud runner's workers cannot see, and for files that
    a recipe names from the folder that the command is given in.
    """
    if on_this_machine(options):
        return None
    local = [entry for entry in paths if not is_remote(entry.path)]
    if not local:
        return None
    runner = engine.runner_name(options)
    first = f"{local[0].name} {shown(local[0].path)}"
    if runner in CLOUD_RUNNERS:
        raise UsageError(
            f"{first} is a path of this machine, which the workers of {runner} cannot see: "
            f"name one in a store, such as gs://bucket/... ({cache_folder()} is where an image "
            "may carry lists and models)"
        )
    for entry in local:
        if entry.name in _RECIPE_FILES and not os.path.isabs(entry.path):
            raise UsageError(
                f"{entry.name} {shown(entry.path)}: workers of {runner} start in another folder; "
                "name it by its absolute path"
            )
    more = f" and {len(local) - 1} more" if len(local) > 1 else ""
    return (
        f"note: {first}{more} must be there under the same path on every worker of {runner}: "
        "a shared disk, or a store (gs://, s3://, hdfs://)"
    )
