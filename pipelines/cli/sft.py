"""`corpusmill sft`: a decoder fine-tuned on conversations, alone or under torchrun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Changes, Json
from pipelines.cli.training_run import run_training

if TYPE_CHECKING:
    from training.trainer import Outcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=(
            "Examples: corpusmill sft config.yaml --set init=runs/first; "
            "torchrun --nproc-per-node 8 --no-python corpusmill sft config.yaml"
        )
    )(sft)


def sft(
    config: Annotated[Path, typer.Argument(help="A YAML file, see docs/finetuning.md.")],
    overrides: Changes = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a decoder on conversations. The same command goes on where a run was stopped.

    Under torchrun one process runs for each device; the first one speaks for all.
    """

    def train() -> Outcome:
        from training.metrics.environment import command
        from training.sft.config import read_sft
        from training.sft.stage import sft as run

        return run(read_sft(config, overrides or []), command())

    run_training(train, as_json)
