"""Which runner's way of carrying out jobs a run uses."""

from __future__ import annotations

from collections.abc import Callable

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import engine, portable
from pipelines.jobs import AllJobs, Jobs
from pipelines.plan import Plan
from pipelines.reach import CLOUD_RUNNERS
from pipelines.workspace import Workspace


def check_runner(options: PipelineOptions) -> None:
    """Raise UsageError, before any work, for what the runner will miss."""
    if engine.runner_name(options) in CLOUD_RUNNERS:
        from pipelines.dataflow.options import check

        check(options)
    portable.check(options)


def jobs_for(
    options: PipelineOptions, plan: Plan, workspace: Workspace, say: Callable[[str], None]
) -> Jobs:
    """Jobs one after the other, each waited for."""
    if engine.runner_name(options) in CLOUD_RUNNERS:
        from pipelines.dataflow.jobs import DataflowJobs, run_id

        return DataflowJobs(options, plan.recipe.name, run_id(plan, workspace), say)
    return AllJobs(options)
