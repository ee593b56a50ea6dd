"""`corpusmill deploy`: files for other people's machines, written out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.phase_names import PHASES
from schemas.errors import UsageError


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
    worker_image: Annotated[
        str | None,
        typer.Option(
            "--worker-image", metavar="REF", help="The worker's image as pushed: NAME@sha256:..."
        ),
    ] = None,
    launcher_image: Annotated[
        list[str] | None,
        typer.Option(
            "--launcher-image",
            metavar="PHASE=REF",
            help="A launcher's image as pushed. May be repeated.",
        ),
    ] = None,
) -> None:
    """Write the Flex Template of every phase, to be copied to Cloud Storage."""
    from pipelines import storage
    from pipelines.account import corpusmill_version
    from pipelines.dataflow.templates import Images, render

    launchers = dict(_by_phase(given) for given in launcher_image or [])
    images = Images(repository, tag or corpusmill_version(), worker_image, launchers)
    for name, content in render(images).items():
        storage.write_bytes(str(output / name), content.encode())
        typer.echo(str(output / name))


def _by_phase(given: str) -> tuple[str, str]:
    phase, _, reference = given.partition("=")
    if phase not in PHASES or not reference:
        raise UsageError(
            f"--launcher-image {given}: PHASE=REF, where PHASE is one of {', '.join(PHASES)}"
        )
    return phase, reference
