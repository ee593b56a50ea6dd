"""`corpusmill decide`: another recipe over an annotated run."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import (
    Clean,
    NoResume,
    Overrides,
    Quiet,
    RecipeName,
    RunJson,
    Runner,
    Workers,
)
from pipelines.default_recipe import DEFAULT_RECIPE


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog=(
            "Examples:\n\n"
            "corpusmill curate --input 'crawl/*.warc.gz' --output annotated --annotate\n\n"
            "corpusmill decide annotated --recipe fineweb --output out\n\n"
            "corpusmill decide annotated --set language.threshold=0.8 --output strict"
        ),
    )(decide)


def decide(
    context: typer.Context,
    annotated: Annotated[str, typer.Argument(help="Folder of a run of curate --annotate.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the new run.")],
    recipe: RecipeName = DEFAULT_RECIPE,
    overrides: Overrides = None,
    workers: Workers = None,
    no_resume: NoResume = False,
    clean: Clean = False,
    runner: Runner = None,
    as_json: RunJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the run of another recipe out of an annotated run, without reading a WARC.

    The recipe may differ in everything but its `page` and `extract` sections; the shards are
    those that curate would make with it.
    """
    from pipelines import engine
    from pipelines.carriers import check_runner, check_whole_run
    from pipelines.cli.leftovers import no_inputs, sort_out
    from pipelines.cli.outcome import show_run
    from pipelines.decide import DecideRequest
    from pipelines.decide import decide as run_decide
    from pipelines.progress import console_for
    from pipelines.reach import NamedPath, check_reach, for_workers, paths_of, workers_of
    from pipelines.recipes import load

    beam_options = no_inputs(sort_out(context, runner))
    options = engine.make_options(runner, beam_options)
    check_whole_run(options)
    chosen = load(recipe, overrides or [])
    paths = [NamedPath("the annotated run", annotated), *paths_of([], output, chosen)]
    note = check_reach(options, paths)
    check_runner(options)
    if note:
        typer.echo(note, err=True)
    request = DecideRequest(
        annotated=for_workers(options, annotated),
        output=for_workers(options, output),
        recipe=chosen,
        workers=workers_of(options, workers),
        resume=not no_resume,
        options=options,
        clean=clean,
    )
    show_run(lambda: run_decide(request, console_for(), quiet=quiet), output, as_json)
