"""`corpusmill pretrain`: a decoder trained on the shards of a run, alone or under torchrun."""

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
            "Examples: corpusmill pretrain config.yaml --set train.steps=1000; "
            "torchrun --nproc-per-node 8 --no-python corpusmill pretrain config.yaml"
        )
    )(pretrain)


def pretrain(
    config: Annotated[Path, typer.Argument(help="A YAML file, see docs/pretraining.md.")],
    overrides: Changes = None,
    as_json: Json = False,
) -> None:
    """Pretrain a decoder. The same command goes on where a run was stopped or killed.

    Under torchrun one process runs for each device; the first one speaks for all.
    """

    def train() -> Outcome:
        from training.config import read_pretrain
        from training.metrics.environment import command
        from training.pretrain import pretrain as run

        return run(read_pretrain(config, overrides or []), command())

    run_training(train, as_json)
