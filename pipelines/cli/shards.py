"""`corpusmill shards`: what is in a folder of shards, and is it whole?"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible
from schemas.shards import MANIFEST_NAME, ShardManifestV1

_FOLDER = Annotated[Path, typer.Argument(help="OUT/shards, or its manifest.json.")]

app = typer.Typer(no_args_is_help=True, help="Look into token shards and check them.")


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="shards")


def manifest_path(folder: Path) -> Path:
    """The manifest in OUT/shards, or the file itself."""
    return folder / MANIFEST_NAME if folder.is_dir() else folder


@app.command("info")
def info(folder: _FOLDER, as_json: Json = False) -> None:
    """Tokenizer, type, and documents and tokens a shard."""
    manifest = ShardManifestV1.from_file(manifest_path(folder))
    if as_json:
        typer.echo(manifest.to_json(), nl=False)
        return
    file = visible(manifest.tokenizer.file, one_line=True)
    typer.echo(f"tokenizer    {file} ({manifest.vocab_size:,} pieces)")
    typer.echo(f"type         {manifest.dtype}, documents end in {manifest.eos_id}")
    typer.echo(f"fingerprint  {visible(manifest.fingerprint, one_line=True)}")
    for entry in manifest.shards:
        path = visible(entry.path, one_line=True)
        typer.echo(f"{path:28} {entry.docs:>10,} documents {entry.tokens:>14,} tokens")


@app.command("cat")
def cat(
    folder: _FOLDER,
    split: Annotated[str, typer.Option("--split", help="train or validation.")] = "train",
    first: Annotated[int, typer.Option("--first", min=0, help="First document.")] = 0,
    count: Annotated[int, typer.Option("--count", min=1, help="How many documents.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="One object a line, with token ids.")
    ] = False,
) -> None:
    """Documents of a split in their training order, decoded."""
    from training.data.shards import ShardReader
    from training.tokenizers import load_tokenizer

    path = manifest_path(folder)
    reader = ShardReader(path)
    manifest = ShardManifestV1.from_file(path)
    tokenizer = load_tokenizer(path.parent / manifest.tokenizer.file)
    for tokens in itertools.islice(reader.documents(split), first, first + count):
        text = tokenizer.decode(tokens)
        if as_json:
            typer.echo(to_json({"tokens": tokens.tolist(), "text": text}))
        else:
            typer.echo(visible(text))
            typer.echo(f"--- {len(tokens):,} tokens ---")


@app.command("check")
def check_shards(folder: _FOLDER) -> None:
    """Checksums, sizes and counts against the manifest; exit code 1 when something is wrong."""
    from training.data.shards import check

    problems = check(manifest_path(folder))
    for problem in problems:
        typer.echo(visible(problem, one_line=True))
    if problems:
        raise typer.Exit(1)
    typer.echo("ok")
