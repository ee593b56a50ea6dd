"""`corpusmill report`: render report.html and DATA_CARD.md again from the files of a run."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: corpusmill report out")(report)


def report(output: Annotated[str, typer.Argument(help="Folder of a run.")]) -> None:
    """Render the report of a finished run again."""
    from pipelines.report import write_report
    from pipelines.workspace import Workspace

    workspace = Workspace(output.rstrip("/"))
    write_report(workspace)
    typer.echo(workspace.path("report.html"))
