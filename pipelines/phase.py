"""One phase of a run by itself: the driver resumed, and stopped where the phase ends.

The phases before it must be complete. What was asked for is read from the plan that phase extract
wrote into the output folder, so that only extract is told of inputs and recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from pipelines import engine, storage
from pipelines.annotate import AnnotatedRun
from pipelines.assets import stamp
from pipelines.carriers import graph_only, jobs_for
from pipelines.claim import holds
from pipelines.curate import CurateRequest, start
from pipelines.driver import Settings
from pipelines.jobs import Jobs, OneGraph, OnePhase, PhaseOver, Submitted
from pipelines.phase_names import EXTRACT, PHASES
from pipelines.plan import Plan
from pipelines.run import Run
from pipelines.workspace import Workspace
from schemas.errors import UsageError


class PhaseRequest(NamedTuple):
    """One phase as asked for."""

    phase: str
    output: str
    options: PipelineOptions
    workers: int
    begin: CurateRequest | None = None
    """What the run is about: for phase extract, and for no other."""
    annotate: bool = False
    submit: bool = False
    """Hand the first graph that is missing to the runner and stop, instead of waiting."""
    replace: bool = False
    """Discard what the folder holds of another run. This run, begun before, goes on."""
    graph_file: str | None = None
    """Write the first graph that is missing there, and leave the run's plan and results."""
    before: Callable[[Plan, Workspace], None] | None = None
    """Called before anything is touched; may raise CorpusmillError."""


class PhaseEnd(NamedTuple):
    """How far it went."""

    phase: str
    complete: bool
    submitted: str | None
    """Name of the job that was handed over; `none` for a graph without tasks."""


NO_WORK = "none"


def run_phase(request: PhaseRequest, console: Console, quiet: bool = False) -> PhaseEnd:
    """Carry out what is missing of the phase, or hand its next graph over.

    A phase that is complete is taken over; when it is to be handed over, a graph without tasks
    is, so that a workflow may be run again from its start. No jar is made without tasks.

    Raises:
        UsageError: an earlier phase is incomplete, or the request does not fit the phase.
        CorpusmillError: the phase failed; what it finished is kept.
    """
    plan, workspace = _what_about(request)
    if request.before is not None:
        request.before(plan, workspace)
    inner = _inner(request)
    settings = Settings(
        options=request.options,
        jobs=OnePhase(
            request.phase, inner or jobs_for(request.options, plan, workspace, console.print)
        ),
        workers=request.workers,
        console=console,
        quiet=quiet,
        resume=_resumes(request, plan, workspace),
        look_only=request.graph_file is not None,
    )
    kind = AnnotatedRun if plan.annotated else Run
    try:
        kind(plan, workspace, settings).execute()
    except Submitted as handed:
        return PhaseEnd(request.phase, False, handed.job.name)
    except PhaseOver:
        pass
    if not request.submit or engine.makes_jar(request.options):
        return PhaseEnd(request.phase, True, None)
    engine.submit(_nothing_to_do, request.options)
    return PhaseEnd(request.phase, True, NO_WORK)


def _inner(request: PhaseRequest) -> Jobs | None:
    if request.graph_file is not None:
        if request.begin is not None and not request.begin.resume:
            raise UsageError("--no-resume removes a run, and --dry_run changes nothing: give one")
        return graph_only(request.options, request.phase, request.graph_file)
    return OneGraph(request.options) if request.submit else None


def _resumes(request: PhaseRequest, plan: Plan, workspace: Workspace) -> bool:
    if request.begin is None:
        return True
    return request.begin.resume and (not request.replace or holds(plan, workspace))


def _what_about(request: PhaseRequest) -> tuple[Plan, Workspace]:
    if request.phase not in PHASES:
        raise UsageError(f"no phase {request.phase}; the phases are {', '.join(PHASES)}")
    if (request.begin is not None) != (request.phase == EXTRACT):
        raise UsageError(
            "phase extract needs --input or --inputs-from"
            if request.phase == EXTRACT
            else f"phase {request.phase} takes no inputs and no recipe: they are those of extract"
        )
    if request.begin is not None:
        return start(request.begin, annotated=request.annotate)
    workspace = Workspace(request.output.rstrip("/") or request.output)
    if not storage.exists(workspace.plan_file):
        raise UsageError(f"{workspace.output} holds no run: launch phase extract first")
    plan = Plan.from_json(storage.read_bytes(workspace.plan_file))
    if plan.stamp != stamp(plan.recipe):
        raise UsageError(
            f"the run in {workspace.output} was begun with other versions of the libraries, or "
            "other files of its recipe: launch phase extract again, which makes anew what differs"
        )
    return plan, workspace


def _nothing_to_do(pipeline: beam.Pipeline) -> None:
    pipeline | "NothingToDo" >> beam.Create([NO_WORK], reshuffle=False) | beam.Map(_same)


def _same(value: str) -> str:
    return value
