"""Beam's portable runners: where their programs are, and the options that our graphs need there.

Prism, Flink and Spark are programs outside Python. `make engines` fetches or builds them into one
folder, and a run takes them from there; nothing is downloaded by a run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from apache_beam.options.pipeline_options import (
    DebugOptions,
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    SparkRunnerOptions,
    StandardOptions,
)
from apache_beam.runners.portability import flink_runner
from apache_beam.runners.portability.job_server import JobServer
from apache_beam.runners.worker import sdk_worker

from pipelines.assets import cache_folder
from schemas.errors import UsageError

ENGINES_VARIABLE = "CORPUSMILL_ENGINES"
PRISM = "prism"
SPARK_JAR = "spark-3-job-server.jar"
FLINK_JAR = "flink-1.19-job-server.jar"

RUNNERS = frozenset({"PrismRunner", "SparkRunner", "FlinkRunner", "PortableRunner"})

PRE_OPTIMIZE = "pre_optimize=pack_combiners,lift_combiners,expand_sdf"
"""Beam's phases before submission. Its default for portable runners leaves reads unexpanded, which
then run on one partition (apache_beam/runners/portability/portable_runner.py)."""

ENVIRONMENT_CACHE_MS = 60_000
"""How long a worker process that no stage uses stays. Beam's 0 starts a process, some seconds of
imports, for every stage of every executor."""


def engines_folder() -> Path:
    """CORPUSMILL_ENGINES, else engines/ in the cache folder."""
    named = os.environ.get(ENGINES_VARIABLE)
    return Path(named) if named else cache_folder() / "engines"


class FlinkRunner(flink_runner.FlinkRunner):
    """Beam's, with one job server for all jobs of a process, as Beam's Spark runner has it.

    Beam starts one for each job and ends none of them before the process ends: a run of several
    jobs would keep half a gigabyte for each.
    """

    _servers: ClassVar[dict[str, JobServer]] = {}

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """The one that was started for the same options, else Beam's."""
        views = (FlinkRunnerOptions, JobServerOptions)
        key = " ".join(str(options.view_as(view)) for view in views)
        if key not in self._servers:
            self._servers[key] = super().default_job_server(options)
        return self._servers[key]


def prepare(options: PipelineOptions, given: list[str]) -> None:
    """Fill in what the user left open, for the runner that the options name.

    Args:
        options: changed in place.
        given: the Beam arguments as the user wrote them.
    """
    complete = _COMPLETE.get(str(options.view_as(StandardOptions).runner))
    if complete is not None:
        complete(options, given)
        _print_no_tracebacks()


def check(options: PipelineOptions) -> None:
    """Raise UsageError, before any work, for a runner whose program is not here, or an option that
    would send jobs elsewhere than it says."""
    runner = str(options.view_as(StandardOptions).runner)
    if runner == "FlinkRunner" and options.view_as(FlinkRunnerOptions).flink_submit_uber_jar:
        raise UsageError(
            "--flink_submit_uber_jar is of no use here, since a run has several jobs and Beam "
            "sends only the first of them to --flink_master: leave it out"
        )
    option = _PROGRAM_OPTION.get(runner)
    if option is None or options.view_as(PortableOptions).job_endpoint:
        return
    named = options.get_all_options().get(option)
    if not named:
        raise UsageError(
            f"--runner {runner} needs a program that is not in {engines_folder()}: run "
            f"`make engines` once, or name it with --{option} FILE"
        )
    if "://" not in named and not Path(named).is_file():
        raise UsageError(f"--{option} {named}: there is no such file")


def _complete_prism(options: PipelineOptions, given: list[str]) -> None:
    prism = options.view_as(PrismRunnerOptions)
    prism.prism_location = prism.prism_location or _found(PRISM)
    if not _is_given("prism_log_level", given):
        prism.prism_log_level = "warn"


def _complete_spark(options: PipelineOptions, given: list[str]) -> None:
    spark = options.view_as(SparkRunnerOptions)
    spark.spark_job_server_jar = spark.spark_job_server_jar or _found(SPARK_JAR)
    _complete_job_server(options, given)


def _complete_flink(options: PipelineOptions, given: list[str]) -> None:
    flink = options.view_as(FlinkRunnerOptions)
    flink.flink_job_server_jar = flink.flink_job_server_jar or _found(FLINK_JAR)
    _complete_job_server(options, given)


def _complete_job_server(options: PipelineOptions, given: list[str]) -> None:
    debug = options.view_as(DebugOptions)
    if not any(entry.startswith("pre_optimize=") for entry in debug.experiments or []):
        debug.add_experiment(PRE_OPTIMIZE)
    if not _is_given("environment_cache_millis", given):
        options.view_as(PortableOptions).environment_cache_millis = ENVIRONMENT_CACHE_MS


_COMPLETE: dict[str, Callable[[PipelineOptions, list[str]], None]] = {
    "PrismRunner": _complete_prism,
    "SparkRunner": _complete_spark,
    "FlinkRunner": _complete_flink,
    "PortableRunner": _complete_job_server,
}
_PROGRAM_OPTION = {
    "PrismRunner": "prism_location",
    "SparkRunner": "spark_job_server_jar",
    "FlinkRunner": "flink_job_server_jar",
}


def _print_no_tracebacks() -> None:
    """Beam's worker prints the traceback of a failed step and logs the same. Where the log is
    silenced, as without --debug, so is the print: the driver says in one line what happened."""
    if not logging.getLogger(sdk_worker.__name__).isEnabledFor(logging.CRITICAL):
        sdk_worker.__dict__["print"] = _drop


def _drop(*values: object, **options: object) -> None:
    """A print that does not."""


def _is_given(name: str, given: list[str]) -> bool:
    return any(argument.split("=")[0].lstrip("-") == name for argument in given)


def _found(name: str) -> str | None:
    path = engines_folder() / name
    return str(path) if path.is_file() else None
