"""What runs in the launcher's container: the driver of one phase, up to its next job.

deploy/dataflow/launch.py runs it as a program.

Dataflow's launcher calls it with the template's parameters and with Beam's options; among them
`--template_location`, for which Beam writes the job to a file and submits nothing. The launcher
submits what is in the file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import engine
from pipelines.carriers import check_runner
from pipelines.curate import CurateRequest, make_request
from pipelines.dataflow.jobs import labels_of, refuse_second, run_id
from pipelines.dataflow.options import add_labels, for_phase
from pipelines.dataflow.parameters import parse
from pipelines.default_recipe import DEFAULT_RECIPE
from pipelines.phase import PhaseEnd, PhaseRequest, run_phase
from pipelines.phase_names import EXTRACT, PHASES
from pipelines.plan import Plan
from pipelines.progress import console_for
from pipelines.reach import NamedPath, check_reach, workers_of
from pipelines.workspace import Workspace
from schemas.errors import CorpusmillError, UsageError

PHASE_VARIABLE = "CORPUSMILL_PHASE"
"""Names the phase of a launcher image: a template has one graph, so each phase has a template."""


def main(arguments: Sequence[str]) -> int:
    """Launch the phase that the image is for; returns the exit code, after one line of error."""
    try:
        end = launch(os.environ.get(PHASE_VARIABLE, ""), arguments)
    except CorpusmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    done = "complete before" if end.complete else f"job {end.submitted}"
    print(f"{end.phase}: {done}")
    return 0


def launch(phase: str, arguments: Sequence[str]) -> PhaseEnd:
    """Hand the phase's next graph to Dataflow.

    Raises what run_phase raises, and UsageError for parameters that do not fit.
    """
    if phase not in PHASES:
        raise UsageError(f"{PHASE_VARIABLE} is {phase!r}: set it to one of {', '.join(PHASES)}")
    values, rest = parse(phase, arguments)
    options = engine.make_options("DataflowRunner", rest)
    children = int(values["children"]) if "children" in values else None
    begin = None
    if phase == EXTRACT:
        begin = _begin(values, options, children)
    else:
        check_reach(options, [NamedPath("output", values["output"])])
        check_runner(options)
    options = for_phase(options, phase)
    console = console_for()
    request = PhaseRequest(
        phase,
        values["output"],
        options,
        workers_of(options, children),
        begin,
        annotate=values.get("annotate") == "true",
        submit=True,
        replace=values.get("discard") == "true",
        before=partial(_label_and_look, options, phase, partial(console.print, markup=False)),
    )
    return run_phase(request, console, quiet=True)


def _label_and_look(
    options: PipelineOptions,
    phase: str,
    say: Callable[[str], None],
    plan: Plan,
    workspace: Workspace,
) -> None:
    """Tell others what the job is about, and look whether one of them is in the way."""
    add_labels(options, labels_of(phase, plan.recipe.name, run_id(plan, workspace), workspace))
    refuse_second(options, workspace, say)


def _begin(values: dict[str, str], options: PipelineOptions, children: int | None) -> CurateRequest:
    if "inputs" not in values and "inputs_from" not in values:
        raise UsageError("parameter inputs or inputs_from is missing: one of them is needed")
    request, _ = make_request(
        [part.strip() for part in values.get("inputs", "").split(",") if part.strip()],
        values["output"],
        values.get("recipe", DEFAULT_RECIPE),
        options,
        inputs_from=values.get("inputs_from"),
        inputs_prefix=values.get("inputs_prefix"),
        overrides=[part.strip() for part in values.get("overrides", "").split(";") if part.strip()],
        workers=children,
        limit=int(values["limit"]) if "limit" in values else None,
        segment_mb=float(values["segment_mb"]) if "segment_mb" in values else None,
    )
    return request


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
