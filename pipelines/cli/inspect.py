"""`corpusmill inspect`: the whole trail of one document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible

if TYPE_CHECKING:
    from pipelines.trail import Trail

TEXT_CHARS = 600


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\ncorpusmill inspect out --url https://example.org/page\n\n"
        "corpusmill inspect out --id 0123456789abcdef0123456789abcdef --json"
    )(inspect)


def inspect(
    output: Annotated[str, typer.Argument(help="Folder of a finished run.")],
    url: Annotated[str | None, typer.Option("--url", help="URL as crawled, or normalised.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Document id (32 hex digits).")] = None,
    as_json: Json = False,
) -> None:
    """Show where a document came from, what was measured and decided, and where it went."""
    from pipelines.trail import find_trail
    from pipelines.workspace import Workspace

    trail = find_trail(Workspace(output.rstrip("/")), url, id)
    if as_json:
        typer.echo(to_json(trail._asdict(), indent=2))
    else:
        _print(trail, Console(soft_wrap=True, highlight=False, emoji=False))


def _print(trail: Trail, console: Console) -> None:
    for row in trail.errors:
        console.print("[bold red]error[/bold red]")
        _fields(console, row, ("url", "file", "offset", "length", "stage", "error", "detail"))
    for row in trail.rejected:
        console.print("[bold yellow]rejected[/bold yellow]")
        _fields(console, row, ("id", "url", "warc_file", "warc_offset", "stage", "rule"))
        _fields(console, row, ("value", "threshold", "rule_version", "detail", "language"))
        _text(console, row["text"])
    for row in trail.documents:
        console.print("[bold green]kept[/bold green]")
        _fields(console, row, [name for name in row if name not in ("text", "signals")])
        console.print("  signals")
        for name, value in sorted(row["signals"]):
            console.print(f"    {visible(name):44} {value:.6g}", markup=False)
        _text(console, row["text"])
    for row in trail.verdicts:
        decision = "keep" if row["rule"] is None else f"turn down by {row['rule']}"
        console.print("[bold]verdict[/bold]", end="  ")
        console.print(visible(f"the recipe would {decision}", one_line=True), markup=False)
        _fields(console, row, ("stage", "value", "threshold", "rule_version", "detail"))
    if trail.clusters:
        console.print("[bold]cluster[/bold]")
        for row in trail.clusters:
            kept = "kept   " if row["kept"] else "dropped"
            place = f"{row['warc_file']} at {row['warc_offset']}"
            line = f"  {kept} {row['id']} by {row['method']}, {place}"
            console.print(visible(line, one_line=True), markup=False)
    for row in trail.shards:
        console.print("[bold]shard[/bold]")
        _fields(console, row, ("split", "shard", "position", "tokens"))


def _fields(console: Console, row: dict[str, Any], names: tuple[str, ...] | list[str]) -> None:
    for name in names:
        if row.get(name) is not None:
            console.print(f"  {name:16} {visible(str(row[name]), one_line=True)}", markup=False)


def _text(console: Console, text: str) -> None:
    shown = text[:TEXT_CHARS]
    console.print(f"  text ({len(text):,} characters)")
    for line in shown.split("\n"):
        console.print(f"    {visible(line)}", markup=False)
    if len(shown) < len(text):
        console.print("    …")
