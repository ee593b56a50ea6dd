"""`corpusmill eval`: figures of a trained model."""

from __future__ import annotations

import gzip
import json
import math
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.decoding import Device, Dtype, ModelFolder, TokenizerSpec
from pipelines.cli.options import Json
from pipelines.cli.placement import device_of, dtype_of, need_training_packages
from pipelines.cli.terminal import to_json, visible
from schemas.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from training.evaluation.subject import Subject
    from training.evaluation.task import Figure, Options, Result, Task


_WIDTH = 120
"""Of the table where no terminal says."""

_MOST_ROWS = 40
"""Of a task in the table."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "eval",
        epilog=(
            "Examples:\n\n"
            "corpusmill eval RUN --task perplexity --data OUT/shards/manifest.json\n\n"
            "corpusmill eval RUN --task arc_easy --data arc_easy.jsonl.gz --json\n\n"
            "corpusmill eval RUN --task gsm8k --data test.jsonl --examples train.jsonl\n\n"
            "corpusmill eval RUN --task passkey --lengths 512,1024 --set max_seq_len=1024 "
            "--set rope.scaling=yarn --set rope.factor=2"
        ),
    )(evaluate)


def evaluate(
    model: ModelFolder,
    tasks: Annotated[
        list[str],
        typer.Option(
            "--task",
            "-t",
            help="May be repeated: perplexity, arc_easy, piqa, openbook_qa, multiple_choice, "
            "gsm8k, exact_match, passkey, lm_eval/NAME.",
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", "-d", help="A file for each task that reads one, in their order."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="First records only.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences at a time.")] = 32,
    shots: Annotated[
        int | None, typer.Option(min=0, help="gsm8k: worked examples; default 8 with --examples.")
    ] = None,
    examples: Annotated[
        Path | None, typer.Option(help="gsm8k: a file whose first records are the examples.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of an answer; default 256, at most half the window.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="perplexity: tokens of context; default: the model's.")
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(help="perplexity: tokens that a window moves; default: half of it."),
    ] = None,
    split: Annotated[str, typer.Option(help="perplexity: of a manifest.")] = "validation",
    format: Annotated[
        str, typer.Option("--format", help="exact_match: messages, sharegpt or alpaca.")
    ] = "messages",
    template: Annotated[
        str | None,
        typer.Option(
            help="exact_match, gsm8k, lm_eval/NAME: chat template; default: the model's own."
        ),
    ] = None,
    chat: Annotated[
        bool | None,
        typer.Option(
            "--chat/--raw",
            help="gsm8k, lm_eval/NAME: through the chat template, or not; default: gsm8k where "
            "there is one.",
            show_default=False,
        ),
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(help="passkey: tokens, such as 512,1024; default: the window.")
    ] = None,
    depths: Annotated[int, typer.Option(min=1, help="passkey: from 0 to 1.")] = 5,
    trials: Annotated[int, typer.Option(min=1, help="passkey: a length and depth.")] = 4,
    digits: Annotated[int, typer.Option(min=1, help="passkey: of a key.")] = 5,
    include: Annotated[
        Path | None, typer.Option(help="lm_eval/NAME: a folder of task files of your own.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="passkey: of its texts.")] = 1,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Stretch the model: max_seq_len=4096, rope.scaling=yarn, ..."),
    ] = None,
    tokenizer: TokenizerSpec = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSONL: every item and its answer.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a trained model on local files. Only lm-eval's own tasks may fetch theirs.

    Accuracies come with 95 % intervals (Wilson's). Tasks share the options that concern them.
    """
    need_training_packages("evaluation")
    from training.evaluation.subject import open_subject
    from training.evaluation.task import Options
    from training.evaluation.tasks import find_task

    known = {name: find_task(name) for name in tasks}
    common = Options(
        limit=limit,
        batch_size=batch_size,
        shots=shots,
        examples=examples,
        max_new_tokens=max_new_tokens,
        window=window,
        stride=stride,
        split=split,
        format=format,
        template=template,
        chat=chat,
        lengths=_lengths(lengths),
        depths=depths,
        trials=trials,
        digits=digits,
        include=include,
        seed=seed,
    )
    planned = _with_data(tasks, known, data or [], common)
    _check_files(data or [], examples, output)
    subject = open_subject(
        model,
        device=device_of(device),
        dtype=dtype_of(dtype),
        tokenizer=tokenizer,
        changes=changes or [],
    )
    found: list[tuple[str, Result]] = []
    try:
        for name, options in planned:
            result = known[name].run(subject, options)
            found.append((name, result))
            if output is not None:
                _write(output, name, result, more=len(found) > 1)
    finally:
        # Where a task fails, what those before it found is not lost.
        if found and as_json:
            typer.echo(to_json(_as_dict(subject, found)))
        elif found:
            _show(subject, found)


def _with_data(
    tasks: list[str], known: dict[str, Task], data: list[Path], common: Options
) -> list[tuple[str, Options]]:
    """Each task with its file, in order. Raises UsageError for another number of files."""
    readers = [name for name in tasks if known[name].reads_data]
    if len(readers) != len(data):
        raise UsageError(
            f"--data is given {len(data)} times, and {len(readers)} of the tasks read a file"
            + (f": {', '.join(readers)}" if readers else "")
        )
    files = iter(data)
    return [
        (name, replace(common, data=next(files) if known[name].reads_data else None))
        for name in tasks
    ]


def _check_files(data: list[Path], examples: Path | None, output: Path | None) -> None:
    """What can be said before a model is loaded. Raises InputError, OutputError, UsageError."""
    named = [("--data", path) for path in data]
    if examples is not None:
        named.append(("--examples", examples))
    for option, path in named:
        if not path.exists():
            raise InputError(f"{option} {path}: there is no such file")
        if path.is_dir():
            raise InputError(f"{option} {path}: is a folder; name a file")
        if not os.access(path, os.R_OK):
            raise InputError(f"{option} {path}: may not be read")
    if examples is not None and any(path.samefile(examples) for path in data):
        raise UsageError(
            f"--examples {examples}: is the file of --data as well, so that answers would stand in "
            "front of their questions; name another"
        )
    if output is None:
        return
    for option, path in named:
        if output.exists() and output.samefile(path):
            raise UsageError(f"--output {output}: would replace the file of {option}; name another")
    if output.is_dir():
        raise OutputError(f"--output {output}: is a folder; name a file")
    if not output.parent.is_dir():
        raise OutputError(f"--output {output}: there is no folder {output.parent}")
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise OutputError(f"--output {output}: may not be written")


def _lengths(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise UsageError(f"--lengths {text}: write whole numbers, such as 512,1024")
    return found


def _write(path: Path, name: str, result: Result, *, more: bool) -> None:
    """A line for each item, behind those of other tasks where there are `more`; packed under a name
    in .gz."""
    open_text: Any = gzip.open if path.suffix == ".gz" else open
    try:
        mode = "at" if more else "wt"
        with open_text(path, mode, encoding="utf-8") as out:
            out.writelines(
                # Documents of lm-eval's tasks may hold dates and the like.
                json.dumps({**row, "task": name}, ensure_ascii=False, default=str) + "\n"
                for row in result.rows
            )
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _as_dict(subject: Subject, found: list[tuple[str, Result]]) -> dict[str, Any]:
    return {
        "model": str(subject.folder),
        "max_seq_len": subject.decoder.config.max_seq_len,
        "rope": subject.decoder.config.rope.model_dump(),
        "tasks": [
            {
                "task": name,
                "items": result.items,
                "settings": result.settings,
                "figures": [_figure(figure) for figure in result.figures],
            }
            for name, result in found
        ],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    """Without what it does not have: JSON has no infinity and no NaN either."""
    row = asdict(figure)
    for name in ("value", "low", "high"):
        if row[name] is not None and not math.isfinite(row[name]):
            row[name] = None
    return {k: v for k, v in row.items() if k == "value" or v not in (None, "")}


def _show(subject: Subject, found: list[tuple[str, Result]]) -> None:
    table = Table(title=visible(str(subject.folder), one_line=True), title_justify="left")
    for heading in ("task", "of", "figure"):
        table.add_column(heading, no_wrap=True)
    for heading in ("value", "95 %", "count"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, result in found:
        for figure in result.figures[:_MOST_ROWS]:
            interval = "" if figure.low is None else f"{figure.low:.3f}-{figure.high:.3f}"
            what = visible(figure.group, one_line=True) or "all"
            value = f"{figure.value:.4f}"
            table.add_row(name, what, figure.name, value, interval, f"{figure.count:,}")
        table.add_section()
    width = None if sys.stdout.isatty() else _WIDTH
    console = Console(width=width, emoji=False, markup=False, highlight=False)
    console.print(table)
    for name, result in found:
        settings = "".join(f", {key} {value}" for key, value in result.settings.items())
        more = len(result.figures) - _MOST_ROWS
        left = f"; {more} more figures with --json" if more > 0 else ""
        line = f"{name}: {result.items:,} items{settings}{left}"
        console.print(visible(line, one_line=True), soft_wrap=True)
