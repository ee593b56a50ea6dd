"""`corpusmill demo`: the whole way on an embedded sample, without a network."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import RunJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: corpusmill demo --output demo")(demo)


def demo(
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the run.")] = "demo",
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="Default: one a core.")
    ] = None,
    as_json: RunJson = False,
) -> None:
    """Curate the embedded sample WARC into shards and a report, in about a minute."""
    from pipelines.cli.outcome import show_run
    from pipelines.curate import CurateRequest, curate
    from pipelines.demo import sample_path
    from pipelines.pool import default_workers
    from pipelines.progress import console_for
    from pipelines.recipes import load

    with sample_path() as sample:
        request = CurateRequest(
            inputs=[str(sample)],
            output=output,
            recipe=load("demo"),
            workers=workers or default_workers(),
        )
        show_run(lambda: curate(request, console_for()), output, as_json)
