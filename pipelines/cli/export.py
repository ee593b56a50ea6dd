"""`corpusmill export`: the model of a run for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible


class Format(StrEnum):
    """What can be written."""

    hf = "hf"
    peft = "peft"


class Dtype(StrEnum):
    """Types of the weights there."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: corpusmill export runs/tiny --format hf --output tiny-hf")(export)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new or empty folder.")],
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            help="hf: a folder that transformers loads, adapters merged; peft: adapters alone.",
        ),
    ] = Format.hf,
    step: Annotated[
        int | None, typer.Option("--step", min=0, help="Checkpoint; default: the newest.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Type of the weights.")] = Dtype.float32,
    ema: Annotated[
        bool, typer.Option("--ema", help="The moving average of the weights (optimizer.ema).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the model and tokenizer of a run as a Hugging Face folder, or its adapters for peft."""
    import torch

    from training.adapters.exporting import export_peft
    from training.checkpoint.huggingface import export_huggingface

    writers = {Format.hf: export_huggingface, Format.peft: export_peft}
    written = writers[format](
        run,
        output,
        step=step,
        dtype=getattr(torch, dtype.value),
        averaged=ema,
        notice=lambda line: typer.echo(visible(line, one_line=True), err=True),
    )
    if as_json:
        typer.echo(to_json({"output": str(output), "format": format.value, **written._asdict()}))
        return
    kind = "weights" if format is Format.hf else "adapters"
    what = f"moving average of the {kind}" if ema else kind
    beside = ", and the tokenizer" if format is Format.hf else ""
    typer.echo(
        f"{visible(str(output), one_line=True)}: {what} after step {written.step}, "
        f"{written.parameters:,} parameters in {written.dtype}{beside}"
    )
