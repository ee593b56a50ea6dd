"""`corpusmill launch`: one job description for torchrun, SLURM and Kubernetes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible
from schemas.errors import CorpusmillError, OutputError, UsageError

if TYPE_CHECKING:
    from training.launch import Rendered, Target


class LaunchError(CorpusmillError):
    """A job that could not be handed over."""


def register(parent: typer.Typer) -> None:
    """Add the command."""
    parent.command(
        "launch",
        epilog=(
            "Example: corpusmill launch deploy/jobs/pretrain-4x8.yaml --target slurm --dry-run"
        ),
    )(launch)


def launch(
    job: Annotated[Path, typer.Argument(help="A job description, see docs/launch.md.")],
    target: Annotated[
        str, typer.Option("--target", "-t", help="torchrun, slurm, trainjob or jobset.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key of the description: nodes=2, slurm.account=x"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be submitted, and submit nothing.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the file into this folder; submits nothing."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a training job on one host, several hosts, SLURM or Kubernetes.

    Without --dry-run and --output the job starts: torchrun here, `sbatch` or `kubectl apply`.
    """
    from training.launch import TARGETS, read_launch

    if target not in TARGETS:
        raise UsageError(f"--target {target}: choose one of {', '.join(TARGETS)}")
    description = read_launch(job, overrides or [])
    rendered = TARGETS[target].render(description)
    warnings = description.warnings()
    for warning in warnings:
        typer.echo(visible(f"warning: {warning}", one_line=True), err=True)
    if output is not None:
        path = _write(rendered, output)
        _say(as_json, rendered, warnings, path=str(path), submitted=False)
    elif dry_run:
        _say(as_json, rendered, warnings, path=None, submitted=False)
    else:
        _submit(rendered, TARGETS[target], as_json, warnings)


def _say(
    as_json: bool, rendered: Rendered, warnings: list[str], *, path: str | None, submitted: bool
) -> None:
    if as_json:
        typer.echo(
            to_json(
                {
                    "file": rendered.file_name,
                    "text": rendered.text,
                    "path": path,
                    "submitted": submitted,
                    "warnings": warnings,
                },
                indent=2,
            )
        )
    elif path is not None:
        typer.echo(path)
    elif not submitted:
        # As it is: what is shown may be piped into the program that takes it.
        typer.echo(rendered.text, nl=False)


def _write(rendered: Rendered, folder: Path) -> Path:
    path = folder / rendered.file_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered.text, "utf-8")
        path.chmod(0o755 if rendered.executable else 0o644)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _become(script: str) -> NoReturn:
    """Run a script in place of this process, so that signals reach torchrun itself."""
    with tempfile.TemporaryFile() as file:
        file.write(script.encode())
        file.seek(0)
        os.set_inheritable(file.fileno(), True)
        os.execvp("bash", ["bash", f"/dev/fd/{file.fileno()}"])


def _submit(rendered: Rendered, target: Target, as_json: bool, warnings: list[str]) -> None:
    program, *arguments = target.submit
    if shutil.which(program) is None:
        raise LaunchError(
            f"{program} is not on this machine; render with --output DIR and submit the file "
            "where it is"
        )
    if target.runs_here:
        _become(rendered.text)
    done = subprocess.run(
        [program, *arguments],
        input=rendered.text,
        text=True,
        stdout=subprocess.PIPE if as_json else None,
    )
    if done.returncode:
        raise LaunchError(f"{program} ended with exit code {done.returncode}; see what it printed")
    _say(as_json, rendered, warnings, path=None, submitted=True)
