"""`corpusmill demo`: the whole way on an embedded sample, without a network."""

from __future__ import annotations

import importlib.util
import shutil
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import RunJson
from pipelines.cli.terminal import visible
from schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from training.trainer import Outcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: corpusmill demo --output demo")(demo)


def demo(
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the run.")] = "demo",
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="Default: one a core.")
    ] = None,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train a small model on the shards.")
    ] = True,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the training; default: 300.")
    ] = None,
    as_json: RunJson = False,
) -> None:
    """Curate the embedded sample WARC, train a small model on it, and let that write.

    About two minutes on two cores, most of it training. Everything is in the folder: report.html
    with the loss curve, the shards, and the model in training/.
    """
    from pipelines.cli.outcome import show_run
    from pipelines.curate import CurateRequest, curate
    from pipelines.demo import sample_path
    from pipelines.pool import default_workers
    from pipelines.progress import console_for
    from pipelines.recipes import load

    with sample_path() as sample:
        request = CurateRequest(
            inputs=[str(sample)],
            output=output,
            recipe=load("demo"),
            workers=workers or default_workers(),
        )
        show_run(lambda: curate(request, console_for()), output, as_json)
    if not train:
        return
    if importlib.util.find_spec("torch") is None:
        typer.echo("no training: torch is not installed; pip install 'corpusmill[train]'", err=True)
        return
    outcome = _train(output, steps)
    if not as_json:
        _show(outcome, output)


def _train(output: str, steps: int | None) -> Outcome:
    from pipelines.report import write_report
    from pipelines.report.trained import FOLDER
    from pipelines.workspace import Workspace
    from training.config import read_pretrain
    from training.pretrain import pretrain

    folder = Path(output) / FOLDER
    changes = [f"output={folder}", f"data.manifest={Path(output) / 'shards' / 'manifest.json'}"]
    if steps is not None:
        changes.append(f"train.steps={steps}")
        changes.append(f"schedule.warmup_steps={min(20, steps // 5)}")
        changes.append(f"schedule.decay_steps={max(steps // 3, 1)}")
    with ExitStack() as stack:
        files = resources.files("training.configs")
        config = read_pretrain(stack.enter_context(resources.as_file(files / "demo.yaml")), changes)
        try:
            outcome = pretrain(config)
        except (InputError, UsageError):
            # A model of other shards, or of another version of the demo: it is the demo's own.
            if not (folder / "config.yaml").exists():
                raise
            shutil.rmtree(folder)
            outcome = pretrain(config)
    write_report(Workspace(output))
    return outcome


def _show(outcome: Outcome, output: str) -> None:
    import json

    from pipelines.cli.training_run import summary

    typer.echo("")
    typer.echo(visible(f"model   {summary(outcome)}"))
    samples = (Path(outcome.output) / "samples.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, samples[-2:]):
        typer.echo(visible(f"sample  {row['prompt']}{row['text']}", one_line=True))
    typer.echo(f"report  {output}/report.html#training")
