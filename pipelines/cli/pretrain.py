"""`corpusmill pretrain`: a decoder trained on the shards of a run, alone or under torchrun."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Json
from pipelines.cli.terminal import visible
from schemas.errors import CorpusmillError, UsageError

if TYPE_CHECKING:
    from training.trainer import Outcome

TRAINING_PACKAGES = ("torch", "tokenizers", "safetensors")

STOPPED = {"SIGTERM": 0, "SIGINT": 130}
"""Exit code after a signal: SIGTERM is how schedulers ask, and the state was saved."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=(
            "Examples: corpusmill pretrain config.yaml --set train.steps=1000; "
            "torchrun --nproc-per-node 8 --no-python corpusmill pretrain config.yaml"
        )
    )(pretrain)


def pretrain(
    config: Annotated[Path, typer.Argument(help="A YAML file, see docs/pretraining.md.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key: optimizer.lr=0.001, parallel.dp_shard=8"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Pretrain a decoder. The same command goes on where a run was stopped or killed.

    Under torchrun one process runs for each device; the first one speaks for all.
    """
    first = int(os.environ.get("RANK", "0")) == 0
    try:
        from training.checkpoint.together import told_by_first
        from training.config import read_pretrain
        from training.metrics.environment import command
        from training.pretrain import pretrain as run
        from training.trainer import TrainingError
    except ModuleNotFoundError as error:
        if error.name not in TRAINING_PACKAGES:
            raise
        raise UsageError(
            f"{error.name} is not installed; training needs: pip install 'corpusmill[train]'"
        ) from error
    try:
        outcome = run(read_pretrain(config, overrides or []), command())
    except CorpusmillError as error:
        same = isinstance(error, UsageError | TrainingError) or told_by_first(error)
        if same and not first:
            raise typer.Exit(1) from None
        raise
    if first:
        if as_json:
            typer.echo(outcome.record.to_json(), nl=False)
        else:
            typer.echo(visible(summary(outcome)))
    raise typer.Exit(STOPPED.get(outcome.signal or "", 0))


def summary(outcome: Outcome) -> str:
    """How the run ended, and what can be done with it."""
    record, final = outcome.record, outcome.record.final
    lines = [f"{record.state} after step {record.step:,} of {record.steps:,}"]
    known = (("loss", "loss"), ("val_loss", "validation loss"), ("bits_per_byte", "bits a byte"))
    figures = [
        f"{name} {value:.4f}"
        for key, name in known
        if isinstance(value := final.get(key), int | float)
    ]
    lines[0] += "".join(f", {figure}" for figure in figures)
    if record.state == "stopped":
        lines.append("the same command goes on")
    else:
        lines.append(f"write:  corpusmill generate {outcome.output} --prompt TEXT")
        lines.append(f"export: corpusmill export {outcome.output} --format hf --output DIR")
    return "\n".join(lines)
