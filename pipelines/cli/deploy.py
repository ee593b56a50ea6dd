"""`corpusmill deploy`: files for other people's machines, written out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Write the files that a deployment needs.", no_args_is_help=True)
    group.callback()(_deploy)
    group.command(
        epilog="Example: corpusmill deploy dataflow --output templates "
        "--repository europe-west1-docker.pkg.dev/my-project/corpusmill"
    )(dataflow)
    app.add_typer(group, name="deploy")


def _deploy() -> None:
    """Write the files that a deployment needs."""


def dataflow(
    repository: Annotated[
        str, typer.Option("--repository", help="Where the images lie: REGION-docker.pkg.dev/...")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the files.")],
    tag: Annotated[
        str | None, typer.Option("--tag", help="Tag of the images; default: the version.")
    ] = None,
) -> None:
    """Write the Flex Template of every phase, to be copied to Cloud Storage."""
    from pipelines import storage
    from pipelines.account import corpusmill_version
    from pipelines.dataflow.templates import Images, render

    for name, content in render(Images(repository, tag or corpusmill_version())).items():
        storage.write_bytes(str(output / name), content.encode())
        typer.echo(str(output / name))
