"""`corpusmill instruct`: data for training on instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.options import Json, Quiet
from pipelines.cli.placement import device_of
from pipelines.cli.terminal import to_json, visible
from schemas.errors import UsageError

_PACKAGES = ("torch", "tokenizers", "safetensors", "httpx", "tenacity", "rapidfuzz")

Config = Annotated[Path, typer.Argument(help="A YAML file, see docs/instruction_data.md.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key: budget.max_requests=1000")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(
        no_args_is_help=True, help="Write, filter and select data for training on instructions."
    )
    commands.command(
        epilog="Examples:\n\ncorpusmill instruct generate config.yaml\n\n"
        "corpusmill instruct generate config.yaml --set count=5000 --set budget.max_cost=20"
    )(generate)
    commands.command(
        "filter",
        epilog="Examples:\n\ncorpusmill instruct filter a.jsonl b.jsonl.gz --output clean\n\n"
        "corpusmill instruct filter a.json --output clean --set format=alpaca "
        "--set language.keep='{en: 0.65}' --set decontamination.benchmarks='[gsm8k_test.jsonl]'",
    )(filter_)
    commands.command(
        epilog="Examples:\n\ncorpusmill instruct select clean/kept.jsonl --output best.jsonl "
        "--count 1000 --method ifd --model run\n\ncorpusmill instruct select a.jsonl --output "
        "b.jsonl --count 1000 --method k_center --embeddings a.npy",
    )(select)
    app.add_typer(commands, name="instruct")


def generate(
    config: Config, overrides: Overrides = None, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Have a model write instructions and answers, from those that people wrote.

    The same command goes on where a run was stopped; no question is asked twice.
    """
    _need_packages()
    from training.instruct.config import read_generate
    from training.instruct.generate import generate as run

    settings = read_generate(config, overrides or [])
    _show(run(settings, say=_teller(quiet)), as_json)


def filter_(
    inputs: Annotated[list[Path], typer.Argument(help="JSONL, .jsonl.gz or .json files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what is kept.")],
    config: Annotated[Path | None, typer.Option("--config", help="A YAML file of rules.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Keep the records that hold to rules: lengths, words, language, benchmarks, no copies."""
    _need_packages()
    from training.instruct.filter_config import read_filter
    from training.instruct.filtering import filter_records

    summary = filter_records(inputs, output, read_filter(config, overrides or []))
    shown = ("in", "kept", "rejected", "errors", "rules")
    _show(summary if as_json else {name: summary[name] for name in shown}, as_json)


def select(
    input: Annotated[Path, typer.Argument(help="A JSONL, .jsonl.gz or .json file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for what is chosen.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Records to choose.")],
    method: Annotated[str, typer.Option(help="ifd, perplexity, k_center or deita.")],
    format: Annotated[str, typer.Option(help="messages, sharegpt or alpaca.")] = "messages",
    model: Annotated[
        str | None, typer.Option(help="A run or a Hugging Face folder: losses and embeddings.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="A .npy file [records, d] instead of the model's.")
    ] = None,
    lowest: Annotated[bool, typer.Option("--lowest", help="perplexity: the lowest first.")] = False,
    threshold: Annotated[
        float, typer.Option(min=-1, max=1, help="deita: the largest cosine similarity.")
    ] = 0.9,
    endpoint: Annotated[
        str | None, typer.Option(help="deita: an OpenAI-compatible URL that rates records.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name at the endpoint.")] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Name of the environment variable that holds the key.")
    ] = None,
    rate_with_model: Annotated[
        str | None, typer.Option(help="deita: a run or folder that rates, not an endpoint.")
    ] = None,
    raters: Annotated[
        Path | None,
        typer.Option(help="deita: a YAML file of who rates: model, budget, prices, as generate's."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    as_json: Json = False,
) -> None:
    """Choose the records that teach most, or that differ most; scores of all lie beside."""
    _need_packages()
    from schemas.checked import checked
    from training.instruct.config import ModelSource, RaterConfig, read_raters
    from training.instruct.selection import SelectRequest
    from training.instruct.selection import select as run

    who = None if raters is None else read_raters(raters)
    if endpoint is not None or rate_with_model is not None:
        if who is not None:
            raise UsageError("--raters names who rates: leave --endpoint, --rate-with-model out")
        source = {"endpoint": endpoint, "name": name, "api_key_env": api_key_env}
        model_source = {**source, "folder": rate_with_model}
        who = RaterConfig(model=checked(ModelSource, model_source, "--endpoint"))
    request = SelectRequest(
        input=input,
        output=output,
        count=count,
        method=method,
        format=format,
        model=model,
        embeddings=embeddings,
        raters=who,
        lowest=lowest,
        threshold=threshold,
        batch_size=batch_size,
        device=str(device_of(device)),
    )
    _show(run(request), as_json)


def _teller(quiet: bool) -> Any:
    def say(line: str) -> None:
        if not quiet:
            typer.echo(visible(line, one_line=True), err=True)

    return say


def _show(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(to_json(summary, indent=2))
        return
    for name, value in summary.items():
        shown = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        typer.echo(visible(f"{name.replace('_', ' ')}: {shown}", one_line=True))


def _need_packages() -> None:
    from importlib.util import find_spec

    for name in _PACKAGES:
        if find_spec(name) is None:
            raise UsageError(
                f"{name} is not installed; instruction data needs: pip install 'corpusmill[train]'"
            )
