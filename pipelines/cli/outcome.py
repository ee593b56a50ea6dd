"""How a run ends on the terminal: the funnel, or run.json."""

from __future__ import annotations

from collections.abc import Callable

import typer
from rich.console import Console

from schemas.run import RunRecordV1


def show_run(run: Callable[[], RunRecordV1], output: str, as_json: bool) -> None:
    """Run and print: with `as_json` run.json, also when no document was kept.

    Raises what `run` raises.
    """
    from pipelines import storage
    from pipelines.cli.funnel import print_run
    from pipelines.curate import NothingKept
    from pipelines.workspace import Workspace

    try:
        record = run()
    except NothingKept:
        if as_json:
            typer.echo(storage.read_bytes(Workspace(output).run_file).decode(), nl=False)
        raise
    if as_json:
        typer.echo(record.to_json(), nl=False)
    else:
        print_run(record, output, Console(soft_wrap=True))
