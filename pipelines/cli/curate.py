"""`corpusmill curate`: from WARC files to shards."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import (
    Clean,
    InputsFrom,
    InputsPrefix,
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
            "corpusmill curate --input 'crawl/*.warc.gz' --output out --recipe fineweb\n\n"
            "corpusmill curate --inputs-from warc.paths.gz --inputs-prefix "
            "https://data.commoncrawl.org/ --output out\n\n"
            "corpusmill curate --input pages.jsonl --output out --set pii.kinds='\\[email, ip]'\n\n"
            "corpusmill curate --input 'crawl/*.warc.gz' --output annotated --annotate\n\n"
            "corpusmill curate --input 'gs://bucket/*.warc.gz' --output gs://bucket/out "
            "--runner DataflowRunner --project p --region r"
        ),
    )(curate)


def curate(
    context: typer.Context,
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the run.")],
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            help="WARC, ARC, WET, JSONL or Parquet: a path, a quoted glob, gs://, s3://, hdfs:// "
            "or https://. May be repeated, and several may follow one --input.",
        ),
    ] = None,
    inputs_from: InputsFrom = None,
    inputs_prefix: InputsPrefix = None,
    recipe: RecipeName = DEFAULT_RECIPE,
    overrides: Overrides = None,
    workers: Workers = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first N pages of the input.")
    ] = None,
    segment_mb: Annotated[
        float | None,
        typer.Option(
            "--segment-mb",
            min=0.01,
            help="Compressed WARC megabytes a task takes (default 16); the output is the same.",
        ),
    ] = None,
    annotate: Annotated[
        bool,
        typer.Option(
            "--annotate",
            help="Keep every page that has text, with all signals and the recipe's verdict, "
            "for `corpusmill decide`; no deduplication, no shards.",
        ),
    ] = False,
    no_resume: NoResume = False,
    clean: Clean = False,
    runner: Runner = None,
    as_json: RunJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn crawled pages into deduplicated, PII-scrubbed, tokenized shards.

    A run that was stopped goes on where it was when the same command is given again.
    """
    from pipelines import engine
    from pipelines.annotate import annotate as run_annotate
    from pipelines.carriers import check_whole_run
    from pipelines.cli.leftovers import all_inputs, sort_out
    from pipelines.cli.outcome import show_run
    from pipelines.curate import curate as run_curate
    from pipelines.curate import make_request
    from pipelines.progress import console_for

    leftovers = sort_out(context, runner)
    options = engine.make_options(runner, leftovers.beam)
    check_whole_run(options)
    request, note = make_request(
        all_inputs(input, leftovers),
        output,
        recipe,
        options,
        inputs_from=inputs_from,
        inputs_prefix=inputs_prefix,
        overrides=overrides or [],
        workers=workers,
        limit=limit,
        segment_mb=segment_mb,
        resume=not no_resume,
        clean=clean,
    )
    if note:
        typer.echo(note, err=True)
    run = run_annotate if annotate else run_curate
    show_run(lambda: run(request, console_for(), quiet=quiet), output, as_json)
