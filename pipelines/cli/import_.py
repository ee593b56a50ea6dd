"""`corpusmill import`: a model of others as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", epilog="Example: corpusmill import Qwen3-0.6B --output runs/qwen")(
        import_
    )


def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A Hugging Face folder: config.json, safetensors, tokenizer; or peft's adapters."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new or empty folder.")],
    base: Annotated[
        Path | None,
        typer.Option("--base", help="The model of adapters; default: the folder they name."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a run folder of a Hugging Face folder (Llama, Qwen2, Qwen3, Mistral, Mixtral), or of
    adapters merged into their model."""
    from training.checkpoint.huggingface import import_huggingface

    parameters = import_huggingface(
        folder, output, lambda line: typer.echo(visible(line, one_line=True), err=True), base
    )
    if as_json:
        typer.echo(to_json({"output": str(output), "step": 0, "parameters": parameters}))
        return
    typer.echo(f"{visible(str(output), one_line=True)}: {parameters:,} parameters, as step 0")
