"""`corpusmill curate`: what it is asked for, checked before any work, and the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from pipelines import engine, storage
from pipelines.assets import check_assets, stamp
from pipelines.carriers import check_runner, jobs_for
from pipelines.driver import Settings
from pipelines.input_lists import read_list
from pipelines.plan import SEGMENT_BYTES, Plan, make_plan
from pipelines.reach import check_reach, for_workers, paths_of, workers_of
from pipelines.recipes import load, validate
from pipelines.run import NothingKept, Run
from pipelines.workspace import Workspace
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.run import RunRecordV1

__all__ = ["CurateRequest", "NothingKept", "curate", "make_request", "settings_of", "start"]


class CurateRequest(NamedTuple):
    """One `corpusmill curate` as asked for."""

    inputs: list[str]
    output: str
    recipe: Recipe
    workers: int
    limit: int | None = None
    resume: bool = True
    options: PipelineOptions | None = None
    segment_bytes: int = SEGMENT_BYTES
    clean: bool = False
    """Remove OUT/.work at the end."""
    places: Mapping[str, str] = storage.NO_PLACES
    """Where those inputs are named that were not given with --input."""


def make_request(
    inputs: list[str],
    output: str,
    recipe: str,
    options: PipelineOptions,
    *,
    inputs_from: str | None = None,
    inputs_prefix: str | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    limit: int | None = None,
    segment_mb: float | None = None,
    resume: bool = True,
    clean: bool = False,
) -> tuple[CurateRequest, str | None]:
    """What was asked for in words, and a line of warning about paths that workers must share.

    `inputs_from` lists more inputs (pipelines.input_lists).

    Raises:
        UsageError: there are no inputs, the list or the recipe is none, workers cannot see a path,
            or the runner misses something.
        InputError: the list cannot be read.
    """
    if not inputs and inputs_from is None:
        raise UsageError("there are no inputs: give --input or --inputs-from")
    if inputs_prefix and inputs_from is None:
        raise UsageError("--inputs-prefix is for the lines of --inputs-from, which is not given")
    chosen = load(recipe, overrides)
    listed = {} if inputs_from is None else read_list(inputs_from, inputs_prefix or "")
    given = frozenset(inputs)
    places = {path: place for path, place in listed.items() if path not in given}
    note = check_reach(options, paths_of([*inputs, *places], output, chosen, places))
    check_runner(options)
    request = CurateRequest(
        inputs=[for_workers(options, path) for path in (*inputs, *places)],
        output=for_workers(options, output),
        recipe=chosen,
        workers=workers_of(options, workers),
        limit=limit,
        resume=resume,
        options=options,
        clean=clean,
        segment_bytes=SEGMENT_BYTES if segment_mb is None else int(segment_mb * 1_000_000),
        places={for_workers(options, path): place for path, place in places.items()},
    )
    return request, note


def curate(request: CurateRequest, console: Console, quiet: bool = False) -> RunRecordV1:
    """Run every phase that is not done yet and write run.json and report.html.

    Raises:
        UsageError: recipe, inputs or output folder cannot be used; nothing was started.
        CorpusmillError: a phase failed; what it finished is kept for the next run.
        NothingKept: after writing the account, when there are no documents.
    """
    plan, workspace = start(request)
    return Run(plan, workspace, settings_of(request, plan, workspace, console, quiet)).execute()


def start(request: CurateRequest, annotated: bool = False) -> tuple[Plan, Workspace]:
    """Check everything that can be checked before work; the folder is claimed by execute."""
    validate(request.recipe)
    inputs = storage.match_inputs(request.inputs, request.places)
    check_assets(request.recipe)
    plan = make_plan(request.recipe, inputs, request.limit, request.segment_bytes)
    plan = plan._replace(annotated=annotated, stamp=stamp(request.recipe))
    return plan, Workspace(request.output.rstrip("/") or request.output)


def settings_of(
    request: CurateRequest, plan: Plan, workspace: Workspace, console: Console, quiet: bool
) -> Settings:
    """How the run is carried out."""
    options = request.options or engine.make_options(None, [])
    return Settings(
        options=options,
        jobs=jobs_for(options, plan, workspace, console.print),
        workers=request.workers,
        console=console,
        quiet=quiet,
        resume=request.resume,
        clean=request.clean,
    )
