"""Which runner's way of carrying out jobs a run uses."""

from __future__ import annotations

from collections.abc import Callable

from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions

from pipelines import engine, portable
from pipelines.jobs import AllJobs, GraphOnly, Jobs
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
    given = engine.option_that_only_builds(options)
    if given is not None:
        raise UsageError(
            f"{given} builds one job and runs none, and each job of a run needs the one before "
            "it: `corpusmill phase NAME --dry_run=True` writes the next graph of a phase"
        )


def graph_file(options: PipelineOptions) -> str | None:
    """Where the graph of a job goes that is to be built and not run; None: it is to be run.

    Raises UsageError for options that do not say so in full.
    """
    given = engine.option_that_only_builds(options)
    if given is None:
        return None
    if given != "--dry_run" or engine.runner_name(options) not in CLOUD_RUNNERS:
        raise UsageError(
            f"{given} does not go with this: --runner DataflowRunner --dry_run=True "
            "--dataflow_job_file FILE writes the graph of a phase and runs nothing"
        )
    file = options.view_as(DebugOptions).dataflow_job_file
    if not file:
        raise UsageError("--dry_run needs --dataflow_job_file FILE: the graph is written there")
    return str(file)


def graph_only(options: PipelineOptions, phase: str, target: str) -> Jobs:
    """Jobs as Dataflow would be sent them, of which the first goes to a file."""
    from pipelines.dataflow.options import for_phase

    return GraphOnly(for_phase(options, phase), target)


def jobs_for(
    options: PipelineOptions, plan: Plan, workspace: Workspace, say: Callable[[str], None]
) -> Jobs:
    """Jobs one after the other, each waited for."""
    if engine.runner_name(options) in CLOUD_RUNNERS:
        from pipelines.dataflow.jobs import DataflowJobs, run_id

        return DataflowJobs(options, plan.recipe.name, run_id(plan, workspace), workspace, say)
    return AllJobs(options)
