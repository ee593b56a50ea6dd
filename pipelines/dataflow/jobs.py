"""Jobs on Dataflow, each waited for; a job that outlived its driver is found and waited for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines import engine
from pipelines.dataflow.options import add_labels, for_phase, job_name
from pipelines.jobs import Job
from pipelines.plan import Plan
from pipelines.worker_errors import JobFailed, find_ours, find_raised
from pipelines.workspace import Workspace
from schemas.errors import CorpusmillError

OUTPUT_LABEL = "corpusmill-output"


def run_id(plan: Plan, workspace: Workspace) -> str:
    """Eight hex digits for a run in its folder: the same whoever drives it."""
    return hashlib.sha256(f"{plan.key}\0{workspace.output}".encode()).hexdigest()[:8]


def labels_of(phase: str, recipe: str, run: str, workspace: Workspace) -> dict[str, str]:
    """What every job of a run tells about itself."""
    return {
        "corpusmill-phase": phase,
        "corpusmill-recipe": recipe,
        "corpusmill-run": run,
        OUTPUT_LABEL: folder_id(workspace),
    }


def folder_id(workspace: Workspace) -> str:
    """Sixteen hex digits for an output folder, whatever is made in it."""
    return hashlib.sha256(workspace.output.encode()).hexdigest()[:16]


class DataflowJobs(NamedTuple):
    """Every job under a name that tells run and phase, so that no job is started twice."""

    options: PipelineOptions
    recipe: str
    run_id: str
    workspace: Workspace
    say: Callable[[str], None]

    def begins(self, phase: str) -> bool:
        """Always."""
        return True

    def run(self, job: Job) -> None:
        """Wait for the job of that name that is active, else start one and wait for it.

        Raises CorpusmillError naming the job and its log when it failed.
        """
        if job.here is not None:
            job.here()
            return
        assert job.build is not None
        options = self._options_of(job)
        active = find_active(options)
        if active is None:
            refuse_second(options, self.workspace, self.say)
            try:
                with _job_named(options):
                    engine.run(job.build, options)
                return
            except _already_there() as refused:
                active = find_active(options)
                if active is None:
                    raise CorpusmillError(" ".join(str(refused).split())) from refused
        name = options.view_as(GoogleCloudOptions).job_name
        self.say(f"job {name} is under way already ({active}): waiting for it")
        with _job_named(options):
            wait_for(active, options)

    def _options_of(self, job: Job) -> PipelineOptions:
        options = for_phase(self.options, job.phase)
        cloud = options.view_as(GoogleCloudOptions)
        cloud.job_name = job_name(cloud.job_name or self.recipe, self.run_id, job.name)
        add_labels(options, labels_of(job.phase, self.recipe, self.run_id, self.workspace))
        return options


def find_active(options: PipelineOptions) -> str | None:
    """The id of the job with the options' name that has not come to an end, if there is one."""
    cloud = options.view_as(GoogleCloudOptions)
    with _job_named(options):
        for job in _active_jobs(_client(options), cloud, name=cloud.job_name):
            if job.name == cloud.job_name:
                return str(job.id)
    return None


def refuse_second(
    options: PipelineOptions, workspace: Workspace, say: Callable[[str], None]
) -> None:
    """Refuse to start a job while another one works in the same folder.

    The job of the options' own name is left out: it is this launch itself, which the service lists
    as queued while its launcher builds the graph, or the attempt before it. An account that may not
    list jobs goes on, with a line that says so.

    Raises CorpusmillError naming the other job.
    """
    from google.api_core.exceptions import Forbidden

    cloud = options.view_as(GoogleCloudOptions)
    try:
        with _job_named(options):
            client = _client(options)
            others = (job for job in _active_jobs(client, cloud) if job.name != cloud.job_name)
            found = next((o for o in others if _works_in(o, workspace, client, cloud)), None)
    except CorpusmillError as error:
        if not isinstance(error.__cause__, Forbidden):
            raise
        say(
            f"warning: not known whether another job works in {workspace.output}: give "
            f"{cloud.service_account_email or 'the account'} the role roles/dataflow.viewer"
        )
        return
    if found is not None:
        raise CorpusmillError(
            f"Dataflow job {found.name} ({found.id}) works in {workspace.output}: wait for it, or "
            f"stop it with gcloud dataflow jobs cancel {found.id} --region {cloud.region}"
        )


def _active_jobs(client: Any, cloud: GoogleCloudOptions, **wanted: str) -> Iterator[Any]:
    from google.cloud import dataflow

    request = dataflow.ListJobsRequest(
        project_id=cloud.project,
        location=cloud.region,
        filter=dataflow.ListJobsRequest.Filter.ACTIVE,
        **wanted,
    )
    for job in client._jobs_client.list_jobs(request):
        if not _is_over(job.current_state):
            yield job


def _works_in(job: Any, workspace: Workspace, client: Any, cloud: GoogleCloudOptions) -> bool:
    """Asks for the job itself: a list is promised to have summaries, which are without labels."""
    from google.cloud import dataflow

    wanted = folder_id(workspace)
    if job.labels.get(OUTPUT_LABEL, wanted) != wanted:
        return False
    request = dataflow.GetJobRequest(
        project_id=cloud.project,
        location=cloud.region,
        job_id=job.id,
        view=dataflow.JobView.JOB_VIEW_DESCRIPTION,
    )
    job = client._jobs_client.get_job(request)
    return job.labels.get(OUTPUT_LABEL) == wanted and not _is_over(job.current_state)


def _is_over(state: Any) -> bool:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult
    from apache_beam.runners.runner import PipelineState

    known = DataflowPipelineResult.api_jobstate_to_pipeline_state(state)
    return bool(PipelineState.is_terminal(known))


def wait_for(job_id: str, options: PipelineOptions) -> None:
    """Wait for a job that somebody else started. Raises what Beam raises for its own."""
    from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult, DataflowRunner

    runner = DataflowRunner()
    runner.dataflow_client = _client(options)
    job = runner.dataflow_client.get_job(job_id)
    DataflowPipelineResult(job, runner, options).wait_until_finish()


def _client(options: PipelineOptions) -> Any:
    from apache_beam.runners.dataflow.internal import apiclient

    cloud = options.view_as(GoogleCloudOptions)
    return apiclient.DataflowApplicationClient(options, cloud.temp_location)


def _already_there() -> type[Exception]:
    from apache_beam.runners.dataflow.internal import apiclient

    refused: type[Exception] = apiclient.DataflowJobAlreadyExistsError
    return refused


@contextmanager
def _job_named(options: PipelineOptions) -> Iterator[None]:
    """One line for a job that failed, and for an API that refuses."""
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    cloud = options.view_as(GoogleCloudOptions)
    try:
        yield
    except DataflowRuntimeException as error:
        raise _failed(error, cloud) from error
    except (GoogleAPIError, GoogleAuthError) as error:
        line = " ".join(str(error).split())[:300]
        raise CorpusmillError(
            f"Dataflow refuses job {cloud.job_name} in project {cloud.project}, region "
            f"{cloud.region}: {line}"
        ) from error


def _failed(error: Any, cloud: GoogleCloudOptions) -> CorpusmillError:
    job_id = error.result.job_id()
    where = (
        f"Dataflow job {cloud.job_name} ({job_id}); its log: gcloud logging read "
        f"'resource.labels.job_id=\"{job_id}\"' --project {cloud.project}"
    )
    ours = find_ours(str(error))
    if ours is not None:
        return type(ours)(f"{ours} [{where}]")
    raised = find_raised(str(error), "Dataflow")
    if raised is not None:
        return JobFailed(f"{raised} [{where}]")
    said = str(error).partition("Error:")[2].splitlines()
    line = next((one.strip() for one in reversed(said) if re.search(r"\w", one)), "no reason given")
    return JobFailed(f"ended in state {error.result.state}: {line[:300]} [{where}]")
