"""What the commands of training share: one process of many, its errors, and how it ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from pipelines.cli.terminal import visible
from schemas.errors import CorpusmillError, UsageError

if TYPE_CHECKING:
    from training.trainer import Outcome

TRAINING_PACKAGES = ("torch", "tokenizers", "safetensors")

STOPPED = {"SIGTERM": 0, "SIGINT": 130}
"""Exit code after a signal: SIGTERM is how schedulers ask, and the state was saved."""

KNOWN_FIGURES = (
    ("loss", "loss"),
    ("val_loss", "validation loss"),
    ("bits_per_byte", "bits a byte"),
    ("exact_match", "exact match"),
    ("accuracy", "accuracy"),
)


def run_training(train: Callable[[], Outcome], as_json: bool) -> None:
    """Train, and say how it ended; the first process speaks for all. `train` imports what it
    needs. Raises typer.Exit with the code of the command."""
    first = int(os.environ.get("RANK", "0")) == 0
    try:
        from training.checkpoint.together import told_by_first
        from training.trainer import TrainingError
    except ModuleNotFoundError as error:
        if error.name not in TRAINING_PACKAGES:
            raise
        raise UsageError(
            f"{error.name} is not installed; training needs: pip install 'corpusmill[train]'"
        ) from error
    try:
        outcome = train()
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
    figures = [
        f"{name} {value:.4f}"
        for key, name in KNOWN_FIGURES
        if isinstance(value := final.get(key), int | float)
    ]
    lines[0] += "".join(f", {figure}" for figure in figures)
    if record.state == "stopped":
        lines.append("the same command goes on")
        return "\n".join(lines)
    talk = {"sft": f"talk:   corpusmill chat {outcome.output}"}
    if record.stage in talk:
        lines.append(talk[record.stage])
    lines.append(f"write:  corpusmill generate {outcome.output} --prompt TEXT")
    trained = record.trained_parameters
    form = "hf" if trained is None or trained >= record.parameters else "peft"
    lines.append(f"export: corpusmill export {outcome.output} --format {form} --output DIR")
    return "\n".join(lines)
