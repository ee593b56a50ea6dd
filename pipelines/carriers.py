"""Which runner's way of carrying out jobs a run uses."""

from __future__ import annotations

from collections.abc import Callable

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import engine, portable
from pipelines.jobs import AllJobs, Jobs
from pipelines.plan import Plan
from pipelines.reach import CLOUD_RUNNERS
from pipelines.workspace import Workspace
from schemas.errors import UsageError


def check_runner(options: PipelineOptions) -> None:
    """Raise UsageError, before any work, for what the runner will miss."""
    if engine.runner_name(options) in CLOUD_RUNNERS:
        from pipelines.dataflow.options import check

        check(options)
    portable.check(options)


def check_whole_run(options: PipelineOptions) -> None:
    """Raise UsageError for options that are about one job, given for a run of several."""
    if engine.makes_jar(options):
        raise UsageError(
            "--output_executable_path makes a jar of one job, and a run has several: "
            "use `corpusmill phase NAME` for each of them"
        )


def jobs_for(
    options: PipelineOptions, plan: Plan, workspace: Workspace, say: Callable[[str], None]
) -> Jobs:
    """Jobs one after the other, each waited for."""
    if engine.runner_name(options) in CLOUD_RUNNERS:
        from pipelines.dataflow.jobs import DataflowJobs, run_id

        return DataflowJobs(options, plan.recipe.name, run_id(plan, workspace), workspace, say)
    return AllJobs(options)
