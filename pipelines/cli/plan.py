"""`corpusmill plan`: which model, on how many tokens, with how much memory and time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import Json

if TYPE_CHECKING:
    from schemas.shards import ShardManifestV1
    from training.sizing.budget import Choice, Given
    from training.sizing.plan import Devices, RunPlan

DEFAULT_VOCABULARY = 32_768
GIGABYTE = 1e9
WIDTH = 120


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=(
            "Examples:\n\n"
            "corpusmill plan --gpus 8 --days 3 --gpu H100 --mfu 0.4\n\n"
            "corpusmill plan --params 1b --manifest OUT/shards/manifest.json\n\n"
            "corpusmill plan pretrain.yaml --gpus 8 --gpu A100"
        )
    )(plan)


class _Answer(NamedTuple):
    """What is printed."""

    choices: list[Choice]
    runs: list[tuple[str, RunPlan]]
    notes: list[str]


def plan(
    config: Annotated[
        Path | None, typer.Argument(help="A pretraining configuration to plan for.")
    ] = None,
    flops: Annotated[str | None, typer.Option("--flops", help="Budget, such as 3e21.")] = None,
    tokens: Annotated[str | None, typer.Option("--tokens", help="Such as 300B.")] = None,
    params: Annotated[str | None, typer.Option("--params", help="Such as 7B.")] = None,
    manifest: Annotated[
        list[Path] | None, typer.Option("--manifest", help="Of the shards; may be repeated.")
    ] = None,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="Devices.")] = 1,
    days: Annotated[
        float | None, typer.Option("--days", min=0.001, help="With --gpus: the budget.")
    ] = None,
    gpu: Annotated[str, typer.Option("--gpu", help="Their name.")] = "H100",
    mfu: Annotated[
        float, typer.Option("--mfu", min=0.01, max=1.0, help="Share of the peak that is reached.")
    ] = 0.4,
    vocab: Annotated[
        int | None, typer.Option("--vocab", min=2, help="Default: the manifest's, or 32,768.")
    ] = None,
    sequence_length: Annotated[int, typer.Option("--sequence-length", min=2)] = 2048,
    sequences: Annotated[int, typer.Option("--sequences", min=1, help="A device at a time.")] = 1,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key of CONFIG: a.b=value.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Size a run: optimal model and tokens, memory a device, time. Arithmetic only.

    Optima by Hoffmann et al. (arXiv 2203.15556) and Besiroglu et al. (arXiv 2404.10102); repeats
    by Muennighoff et al. (arXiv 2305.16264).
    """
    from schemas.errors import UsageError
    from schemas.shards import ShardManifestV1
    from training.sizing.budget import Given, flops_of, number
    from training.sizing.plan import Devices, find_accelerator, unique_tokens

    devices = Devices(find_accelerator(gpu), gpus, mfu)
    manifests = [ShardManifestV1.from_file(path) for path in manifest or []]
    if config is not None:
        if any(value is not None for value in (flops, tokens, params, days)):
            raise UsageError("a CONFIG fixes model and tokens: leave out the budget")
        answer = _for_config(config, assignments or [], manifests, devices, vocab)
    else:
        if flops is not None and days is not None:
            raise UsageError("--flops and --days both give the budget: leave one out")
        if assignments:
            raise UsageError("--set changes a CONFIG, and none is given")
        budget = None if flops is None else number(flops, "--flops")
        if days is not None:
            budget = flops_of(gpus, days, devices.peak(2), mfu)
        given = Given(
            budget,
            None if tokens is None else number(tokens, "--tokens"),
            None if params is None else number(params, "--params"),
            unique_tokens(manifests) or None if manifests else None,
        )
        size = vocab or (manifests[0].vocab_size if manifests else DEFAULT_VOCABULARY)
        answer = _for_budget(given, devices, size, sequence_length, sequences)
    if as_json:
        typer.echo(json.dumps(_as_dict(answer, devices), indent=1))
        return
    _show(answer, devices)


def _for_budget(
    given: Given, devices: Devices, vocab: int, sequence_length: int, sequences: int
) -> _Answer:
    """The choices, and the shapes nearest to the last of them on sharded devices."""
    from training.parallel.dims import ParallelDims
    from training.sizing.budget import choices, note_on_data
    from training.sizing.memory import Step
    from training.sizing.plan import plan_run
    from training.sizing.shapes import nearest_preset, shape_of

    found = choices(given)
    wanted = found[-1]
    dims, step = ParallelDims(dp_shard=devices.number), Step(sequence_length, sequences)
    named = nearest_preset(wanted.parameters, vocab)
    shapes = {f"preset {named.name}": named.config}
    shapes["a shape of this size"] = shape_of(wanted.parameters, vocab).config
    runs = [
        (name, plan_run(shape, wanted.tokens, dims, step, devices))
        for name, shape in shapes.items()
    ]
    return _Answer(found, runs, [note for choice in found if (note := note_on_data(choice))])


def _for_config(
    path: Path,
    assignments: list[str],
    manifests: list[ShardManifestV1],
    devices: Devices,
    vocab: int | None,
) -> _Answer:
    """What a configuration takes, beside what the rules say of its size."""
    from schemas.errors import InputError, UsageError
    from schemas.shards import ShardManifestV1
    from training.config import read_pretrain
    from training.parallel.dims import ParallelDims
    from training.sizing.budget import Given, choices, note_on_data
    from training.sizing.parameters import count
    from training.sizing.plan import manifests_of, plan_run, step_of, tokens_of, unique_tokens

    config = read_pretrain(path, assignments)
    notes: list[str] = []
    if not manifests:
        try:
            manifests = [ShardManifestV1.from_file(name) for name in manifests_of(config)]
        except InputError as error:
            notes.append(f"size of the data not known: {error}")
    size = (config.model or {}).get("vocab_size") or vocab
    if size is None and manifests:
        size = manifests[0].vocab_size
    if size is None:
        raise UsageError(f"{path}: no vocabulary without a manifest: give --vocab")
    if config.model is None:
        raise UsageError(f"{path}: model: its shape comes from init; give model.preset or its keys")
    shape = config.shape(int(size))
    dims = ParallelDims.of(config.parallel, devices.number)
    run = plan_run(shape, tokens_of(config), dims, step_of(config, dims), devices)
    unique = float(unique_tokens(manifests, config.data.split)) or None
    total = float(count(shape).total)
    given = Given(tokens=run.tokens, parameters=total, unique_tokens=unique)
    optima = choices(Given(parameters=total, unique_tokens=unique))
    answer = [*choices(given), *optima]
    notes += [note for choice in answer[:1] if (note := note_on_data(choice))]
    return _Answer(answer, [(path.name, run)], notes)


def _as_dict(answer: _Answer, devices: Devices) -> dict[str, Any]:
    from training.sizing.plan import as_dict
    from training.sizing.scaling_laws import RULES

    return {
        "devices": {"gpu": devices.kind._asdict(), "number": devices.number, "mfu": devices.mfu},
        "choices": [choice._asdict() for choice in answer.choices],
        "sources": {name: law.source for name, law in RULES.items()},
        "runs": [{"name": name, **as_dict(run)} for name, run in answer.runs],
        "notes": answer.notes,
    }


def _show(answer: _Answer, devices: Devices) -> None:
    console = Console(width=WIDTH)
    _show_choices(console, answer.choices)
    for name, run in answer.runs:
        _show_run(console, name, run, devices)
    for note in answer.notes:
        console.print(note, markup=False, highlight=False)


def _show_choices(console: Console, found: list[Choice]) -> None:
    table = Table("rule", title="model and tokens")
    for column in ("parameters", "tokens", "tokens a parameter", "operations", "passes", "loss"):
        table.add_column(column, justify="right")
    for one in found:
        table.add_row(
            one.rule,
            _amount(one.parameters),
            _amount(one.tokens),
            f"{one.tokens / one.parameters:.1f}",
            f"{6 * one.parameters * one.tokens:.2e}",
            "" if one.epochs is None else f"{one.epochs:.2f}",
            f"{one.expected_loss:.3f}",
        )
    console.print(table)


def _show_run(console: Console, name: str, run: RunPlan, devices: Devices) -> None:
    shape, kind = run.config, devices.kind
    degrees = ", ".join(f"{axis} {n}" for axis, n in run.layout.items() if n > 1) or "one device"
    console.print(
        f"[bold]{name}[/bold]: {_amount(run.parameters)} parameters "
        f"({_amount(run.active_parameters)} multiply a token), dim {shape.dim}, "
        f"{shape.n_layers} layers, {shape.n_heads} heads ({shape.kv_heads} of keys)\n"
        f"{_amount(run.tokens)} tokens, {run.flops:.2e} operations: {run.days:,.2f} days on "
        f"{devices.number} x {kind.name} at {devices.mfu:.0%} ({degrees})",
        highlight=False,
    )
    table = Table("GB a device", title=f"of {kind.memory / GIGABYTE:.0f} GB, a tenth to be left")
    for mode in run.memory:
        table.add_column(f"checkpointing {mode}", justify="right")
    for part in next(iter(run.memory.values()))._fields:
        values = (getattr(one, part) for one in run.memory.values())
        table.add_row(part, *(f"{value / GIGABYTE:,.2f}" for value in values))
    totals = (
        f"{one.total / GIGABYTE:,.2f}" + ("" if run.fits[mode] else " (too much)")
        for mode, one in run.memory.items()
    )
    table.add_row("total", *totals, style="bold")
    console.print(table)


def _amount(value: float) -> str:
    for factor, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.0f}"
