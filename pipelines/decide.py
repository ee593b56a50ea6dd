"""The driver of `corpusmill decide`: another recipe over an annotated run, without its inputs."""

from __future__ import annotations

from typing import NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared
from rich.console import Console

from pipelines import storage
from pipelines.assets import check_assets, stamp
from pipelines.curate import CurateRequest, settings_of
from pipelines.phases import extract
from pipelines.phases.decide import DecideDoFn
from pipelines.plan import Plan
from pipelines.recipes import validate
from pipelines.recipes.diff import changes
from pipelines.run import Run
from pipelines.workspace import Workspace, read_markers
from schemas.errors import InputError, UsageError
from schemas.recipe import Recipe
from schemas.run import RunRecordV1
from stages.refine import ANNOTATED_GATE_CHARACTERS, RefineAssets

FIXED_SECTIONS = ("page", "extract")
"""Sections of a recipe that decide which text there is at all."""


class DecideRequest(NamedTuple):
    """One `corpusmill decide` as asked for."""

    annotated: str
    """Folder of the annotated run."""
    output: str
    recipe: Recipe
    workers: int
    resume: bool = True
    options: PipelineOptions | None = None
    clean: bool = False
    """Remove OUT2/.work at the end."""


def decide(request: DecideRequest, console: Console, quiet: bool = False) -> RunRecordV1:
    """Leave in `output` what curate with this recipe would leave of the annotated run's inputs.

    Raises:
        UsageError: the recipe needs other pages or another extraction than the annotated run
            made, or the output folder cannot be used.
        InputError: there is no whole annotated run.
        CorpusmillError: a phase failed; what it finished is kept for the next run.
        NothingKept: after writing the account, when there are no documents.
    """
    source = Workspace(request.annotated.rstrip("/") or request.annotated)
    workspace = Workspace(request.output.rstrip("/") or request.output)
    if workspace == source:
        raise UsageError(f"--output {workspace.output} is the annotated run itself: name another")
    annotated = read_annotated_plan(source)
    validate(request.recipe)
    check_sections(request.recipe, annotated.recipe)
    check_assets(request.recipe)
    plan = annotated._replace(
        recipe=request.recipe,
        annotated=False,
        decided_from=source.output,
        decided_key=annotated.key,
        stamp=stamp(request.recipe),
    )
    work = CurateRequest(
        inputs=[file.path for file in plan.inputs],
        output=workspace.output,
        recipe=request.recipe,
        workers=request.workers,
        limit=plan.limit,
        resume=request.resume,
        options=request.options,
        clean=request.clean,
    )
    settings = settings_of(work, plan, workspace, console, quiet)
    run = DecideRun(plan, workspace, settings)
    run.read_from(source, annotated)
    return run.execute()


class DecideRun(Run):
    """A run whose first phase reads an annotated run."""

    def read_from(self, source: Workspace, annotated: Plan) -> None:
        """Name the annotated run; before execute."""
        self._source = source
        self._annotated = annotated

    def first_phase(self, assets: RefineAssets) -> DecideDoFn:
        """What makes the documents out of a task."""
        return DecideDoFn(
            self.workspace,
            self.plan.recipe,
            assets,
            self.settings.workers,
            Shared(),
            self._source,
            self._annotated.recipe,
            self._annotated.task_keys(),
        )


def read_annotated_plan(source: Workspace) -> Plan:
    """What an annotated run was about, once it is sure that all its pages are there.

    Raises InputError, in one line, when they are not.
    """
    if not storage.exists(source.run_file):
        raise InputError(f"{source.output} holds no finished run (no run.json)")
    record = RunRecordV1.from_bytes(storage.read_bytes(source.run_file), source.run_file)
    if not record.annotated:
        raise InputError(
            f"{source.output} is no annotated run: make one with corpusmill curate --annotate"
        )
    if not storage.exists(source.plan_file):
        raise InputError(
            f"{source.output}/.work, which decide reads, was removed (--clean does that): "
            "run corpusmill curate --annotate again, without --clean"
        )
    plan = Plan.from_json(storage.read_bytes(source.plan_file))
    keys = plan.task_keys()
    whole = read_markers(source.work(extract.FOLDER), keys)
    missing = [name for name in keys if name not in whole]
    if missing:
        raise InputError(
            f"the annotated run in {source.output} lacks {len(missing)} of {len(plan.tasks)} "
            f"tasks (first: {missing[0]}): run its corpusmill curate --annotate again"
        )
    return plan


def check_sections(recipe: Recipe, annotated: Recipe) -> None:
    """Refuse a recipe whose pages or texts the annotated run does not have.

    Raises UsageError naming the keys that differ.
    """
    differ = [
        f"{change.key} ({change.before} in the annotated run, {change.after} in {recipe.name})"
        for change in changes(annotated, recipe)
        if change.key.split(".")[0] in FIXED_SECTIONS
    ]
    if differ:
        raise UsageError(
            f"recipe {recipe.name} needs another extraction than the annotated run made: "
            f"{', '.join(differ)}; run corpusmill curate instead"
        )
    held = ANNOTATED_GATE_CHARACTERS
    if annotated.gate is not None:
        held = max(held, annotated.gate.characters)
    if recipe.gate is not None and recipe.gate.characters > held:
        raise UsageError(
            f"gate.characters {recipe.gate.characters}: the annotated run holds {held} characters "
            "of raw text a page; run corpusmill curate instead"
        )
