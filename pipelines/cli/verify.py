"""`corpusmill verify`: check the files of a run against each other."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: corpusmill verify out")(verify)


def verify(
    output: Annotated[str, typer.Argument(help="Folder of a finished run.")],
    as_json: Json = False,
) -> None:
    """Check counts, checksums and schemas of a run; exit code 1 when something is wrong."""
    from pipelines.verify import verify_run
    from pipelines.workspace import Workspace
    from training.data.shards import check

    checks = list(verify_run(Workspace(output.rstrip("/")), check))
    failed = [c for c in checks if c.problem]
    if as_json:
        typer.echo(to_json([c._asdict() for c in checks], indent=2))
    else:
        for row in checks:
            typer.echo(f"{'FAILED' if row.problem else 'ok':6}  {row.name}")
            if row.problem:
                typer.echo(f"        {visible(row.problem, one_line=True)}")
    if failed:
        raise typer.Exit(1)
