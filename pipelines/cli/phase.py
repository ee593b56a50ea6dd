"""`corpusmill phase`: one phase of a run by itself, for schedulers that have steps of their own."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipelines.cli.options import InputsFrom, InputsPrefix, Json, NoResume, Quiet, Runner, Workers
from pipelines.default_recipe import DEFAULT_RECIPE
from pipelines.phase_names import EXTRACT, PHASES
from schemas.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog=(
            "Examples:\n\n"
            "corpusmill phase extract --input 'crawl/*.warc.gz' --output out --recipe fineweb\n\n"
            f"for p in {' '.join(PHASES[1:])}; "
            "do corpusmill phase $p --output out; done"
        ),
    )(phase)


def phase(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(PHASES[:-1])} or {PHASES[-1]}.",
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the run.")],
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="Inputs, as of curate. For extract."),
    ] = None,
    inputs_from: InputsFrom = None,
    inputs_prefix: InputsPrefix = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", "-r", help="A name from `recipes list`, or a YAML file. For extract."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key of the recipe. For extract."),
    ] = None,
    workers: Workers = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only the first N pages. For extract."),
    ] = None,
    segment_mb: Annotated[
        float | None,
        typer.Option("--segment-mb", min=0.01, help="As of curate. For extract."),
    ] = None,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="As of curate. For extract.")
    ] = False,
    no_resume: NoResume = False,
    runner: Runner = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run one phase of `corpusmill curate`; those before it must be complete.

    All phases in order leave what curate leaves, byte for byte. Inputs and recipe are given to
    extract alone; the others find them in the output folder. A phase that was stopped goes on
    where it was, and one that is complete does nothing.
    """
    import json

    from pipelines import engine
    from pipelines.carriers import check_runner, graph_file
    from pipelines.cli.leftovers import all_inputs, sort_out
    from pipelines.curate import make_request
    from pipelines.phase import PhaseRequest, run_phase
    from pipelines.progress import console_for
    from pipelines.reach import NamedPath, check_reach, for_workers, workers_of

    leftovers = sort_out(context, runner)
    options = engine.make_options(runner, leftovers.beam)
    target = graph_file(options)
    inputs = all_inputs(input, leftovers)
    begin = None
    if name == EXTRACT and (inputs or inputs_from is not None):
        begin, note = make_request(
            inputs,
            output,
            recipe or DEFAULT_RECIPE,
            options,
            inputs_from=inputs_from,
            inputs_prefix=inputs_prefix,
            overrides=overrides or [],
            workers=workers,
            limit=limit,
            segment_mb=segment_mb,
            resume=not no_resume,
        )
    else:
        given = {
            "--recipe": recipe,
            "--set": overrides,
            "--limit": limit,
            "--segment-mb": segment_mb,
            "--annotate": annotate,
            "--no-resume": no_resume,
            "--input": inputs,
            "--inputs-from": inputs_from,
            "--inputs-prefix": inputs_prefix,
        }
        _refuse(name, given)
        note = check_reach(options, [NamedPath("--output", output)])
        check_runner(options)
    if note:
        typer.echo(note, err=True)
    request = PhaseRequest(
        name,
        for_workers(options, output),
        options,
        workers_of(options, workers),
        begin,
        annotate,
        submit=engine.makes_jar(options),
        graph_file=target,
    )
    end = run_phase(request, console_for(), quiet=quiet)
    where = target or "the jar"
    state = "complete" if end.submitted is None else f"job {end.submitted} is in {where}"
    typer.echo(json.dumps(end._asdict()) if as_json else f"{name}: {state}")


def _refuse(name: str, given: dict[str, Any]) -> None:
    """Options of extract that another phase was given. Raises UsageError naming the first."""
    strange = [flag for flag, value in given.items() if value]
    if name != EXTRACT and strange:
        raise UsageError(f"{strange[0]} is for phase extract: the others take the run as it is")
