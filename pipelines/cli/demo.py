"""`corpusmill demo`: the whole way on an embedded sample, without a network."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
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
    full: Annotated[
        bool, typer.Option("--full", help="Also fine-tune the model on conversations: a minute.")
    ] = False,
    as_json: RunJson = False,
) -> None:
    """Curate the embedded sample WARC, train a small model on it, and let that write.

    About two minutes on two cores, most of it training. Everything is in the folder: report.html
    with the loss curve, the shards, and the model in training/. With --full the model then learns
    to add two numbers from conversations, in finetuning/: talk to it with corpusmill chat.
    """
    if full and not train:
        raise UsageError("--full: fine-tunes the model that --no-train leaves out; drop one")
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
    from pipelines.report import write_report
    from pipelines.workspace import Workspace

    trained = _train(output, steps)
    outcomes = [("model", trained)]
    if full:
        outcomes.append(("tuned", _finetune(output, trained.record.step, steps)))
    write_report(Workspace(output))
    if not as_json:
        for title, outcome in outcomes:
            _show(title, outcome)
        typer.echo(f"report  {output}/report.html#{'finetuning' if full else 'training'}")


def _train(output: str, steps: int | None) -> Outcome:
    from pipelines.report.trained import FOLDER
    from training.config import read_pretrain
    from training.pretrain import pretrain

    folder = Path(output) / FOLDER
    changes = [f"output={folder}", f"data.manifest={Path(output) / 'shards' / 'manifest.json'}"]
    if steps is not None:
        changes.append(f"train.steps={steps}")
        changes.append(f"schedule.warmup_steps={min(20, steps // 5)}")
        changes.append(f"schedule.decay_steps={max(steps // 3, 1)}")
    with _packaged("demo.yaml") as path:
        config = read_pretrain(path, changes)
    return _anew_if_foreign(lambda: pretrain(config), folder)


def _finetune(output: str, trained_steps: int, steps: int | None) -> Outcome:
    from pipelines.demo.sums import write_sums
    from pipelines.report.trained import FINETUNED, FOLDER
    from training.sft.config import read_sft
    from training.sft.stage import sft

    folder = Path(output) / FINETUNED
    # The checkpoint, not the run: of a base that went on, a fine-tuning has to begin anew.
    base = Path(output) / FOLDER / "checkpoints" / f"step-{trained_steps}"
    train, held_out = write_sums(Path(output) / "conversations")
    changes = [
        f"output={folder}",
        f"init={base}",
        f"data.train={train}",
        f"data.eval={held_out}",
    ]
    if steps is not None:
        changes.append(f"train.steps={steps}")
        changes.append(f"eval.every={steps}")
        changes.append(f"schedule.decay_steps={max(steps // 3, 1)}")
    with _packaged("demo_sft.yaml") as path:
        config = read_sft(path, changes)
    return _anew_if_foreign(lambda: sft(config), folder)


def _packaged(name: str) -> AbstractContextManager[Path]:
    return resources.as_file(resources.files("training.configs") / name)


def _anew_if_foreign(train: Callable[[], Outcome], folder: Path) -> Outcome:
    """A run of other shards, or of another version of the demo, gives way: it is the demo's own."""
    try:
        return train()
    except (InputError, UsageError):
        if not (folder / "config.yaml").exists():
            raise
        shutil.rmtree(folder)
        return train()


def _show(title: str, outcome: Outcome) -> None:
    import json

    from pipelines.cli.training_run import summary

    typer.echo("")
    typer.echo(visible(f"{title:<7} {summary(outcome)}"))
    samples = (Path(outcome.output) / "samples.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, samples[-2:]):
        between = "" if title == "model" else " -> "
        typer.echo(visible(f"sample  {row['prompt']}{between}{row['text']}", one_line=True))
