"""`corpusmill trace`: the documents of a training step, back to the crawl, or its conversations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible

if TYPE_CHECKING:
    from training.config import PretrainConfig
    from training.data.trace import TracedSample
    from training.sft.config import SftConfig
    from training.sft.trace import TracedConversations


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\ncorpusmill trace run --step 1200\n\n"
        "corpusmill trace run --step 1200 --rank 3 --ranks 8 --json"
    )(trace)


def trace(
    run: Annotated[Path, typer.Argument(help="Folder of a run of pretrain or sft.")],
    step: Annotated[int, typer.Option("--step", min=1, help="As metrics.jsonl counts them.")],
    rank: Annotated[
        int | None, typer.Option("--rank", min=0, help="Only what this data-parallel rank took.")
    ] = None,
    ranks: Annotated[
        int | None, typer.Option("--ranks", min=1, help="Of how many data-parallel ranks.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the documents that a training step saw: URL, WARC file and offset, and tokens; of a run
    of sft the conversations: task, file and record.

    The run may be over or still going: its config.yaml, and the shards or the tokens in its folder,
    are all that is read.
    """
    from schemas.errors import UsageError
    from training.config import PretrainConfig
    from training.data.trace import step_samples

    config = _config(run)
    if step > config.train.steps:
        raise UsageError(f"{run} has {config.train.steps} steps: there is no step {step}")
    samples = step_samples(step, config.train.batch_size, rank, ranks)
    rows: list[dict[str, Any]]
    if isinstance(config, PretrainConfig):
        from training.data.corpus import open_corpus
        from training.data.trace import trace_samples

        # Not as the leader: tokens are not looked at, so neither are checksums.
        corpus = open_corpus(config.data, config.seed, run, leader=False)
        traced = trace_samples(corpus, samples)
        rows = [
            {"sample": found.sample, "documents": [d.to_json() for d in found.documents]}
            for found in traced
        ]
        lines = _documents(traced)
    else:
        from training.sft.trace import open_run, trace_conversations

        asked = trace_conversations(open_run(config, run), samples)
        rows = [
            {"sample": found.sample, "conversations": [c.to_json() for c in found.conversations]}
            for found in asked
        ]
        lines = _conversations(asked)
    if as_json:
        typer.echo(to_json({"step": step, "samples": rows}, indent=2))
    else:
        typer.echo("\n".join(lines))


def _config(run: Path) -> PretrainConfig | SftConfig:
    from schemas.checked import checked
    from schemas.errors import InputError
    from schemas.yaml_text import parse_mapping
    from training.config import PretrainConfig
    from training.sft.config import SftConfig

    stages: dict[str, type[PretrainConfig | SftConfig]] = {
        "pretrain": PretrainConfig,
        "sft": SftConfig,
    }
    path = run / "config.yaml"
    try:
        tree = parse_mapping(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{run} is no training run: cannot read {path}: {error}") from error
    stage = tree.pop("stage", "pretrain")
    if stage not in stages:
        raise InputError(f"{run} is a run of {stage}; trace knows the data of {', '.join(stages)}")
    return checked(stages[stage], tree, str(path))


def _conversations(traced: list[TracedConversations]) -> Iterator[str]:
    for sample in traced:
        yield f"sample {sample.sample}"
        for found in sample.conversations:
            file = visible(found.file, one_line=True)
            task = visible(found.task, one_line=True)
            yield f"  at {found.at:<6} {found.tokens} tokens  {task}  {file}: record {found.record}"


def _documents(traced: list[TracedSample]) -> Iterator[str]:
    for sample in traced:
        yield f"sample {sample.sample}"
        for place, origin in sample.documents:
            end, whole = place.first + place.length, origin.tokens
            name = visible(origin.url or origin.id, one_line=True)
            yield f"  at {place.at:<6} tokens {place.first}-{end - 1} of {whole}  {name}"
            file = visible(origin.warc_file or "unknown file", one_line=True)
            source = visible(f"{place.source}, {origin.split}", one_line=True)
            yield (
                f"    {source} shard {origin.shard} document {origin.position}, "
                f"id {visible(origin.id, one_line=True)}, {file} at {origin.warc_offset}"
            )
