"""Which runner's way of carrying out jobs a run uses."""

from __future__ import annotations

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.jobs import AllJobs, Jobs
from pipelines.plan import Plan
from pipelines.workspace import Workspace


def jobs_for(options: PipelineOptions, plan: Plan, workspace: Workspace) -> Jobs:
    """Jobs one after the other, each waited for."""
    return AllJobs(options)
