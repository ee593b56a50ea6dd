"""`corpusmill recipes`: list, show, compare and validate recipes."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json

_NAME = Annotated[str, typer.Argument(help="A name from `recipes list`, or a YAML file.")]
_SET = Annotated[list[str] | None, typer.Option("--set", help="key=value, as in curate.")]

app = typer.Typer(no_args_is_help=True, help="List, show, compare and validate recipes.")


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="recipes")


@app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """The packaged recipes."""
    from pipelines.recipes import load, names

    recipes = [load(name) for name in names()]
    if as_json:
        rows = [
            {"name": r.name, "version": r.version, "description": r.description, "hash": r.hash()}
            for r in recipes
        ]
        typer.echo(to_json(rows, indent=2))
        return
    table = Table(box=None)
    for column in ("name", "version", "hash", "description"):
        table.add_column(column, no_wrap=column != "description")
    for recipe in recipes:
        table.add_row(recipe.name, str(recipe.version), recipe.hash()[:12], recipe.description)
    Console().print(table)


@app.command("show")
def show(name: _NAME, overrides: _SET = None, as_json: Json = False) -> None:
    """A recipe whole: every value with its default filled in and its source."""
    from pipelines.recipes import load

    recipe = load(name, overrides or [])
    content = {**recipe.model_dump(mode="json"), "hash": recipe.hash()}
    if as_json:
        typer.echo(to_json(content, indent=2))
    else:
        typer.echo(
            yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100), nl=False
        )


@app.command("diff", epilog="Example: corpusmill recipes diff gopher fineweb")
def diff(before: _NAME, after: _NAME, as_json: Json = False) -> None:
    """What two recipes decide differently, key by key."""
    from pipelines.recipes import load
    from pipelines.recipes.diff import changes

    found = changes(load(before), load(after))
    if as_json:
        typer.echo(to_json([c._asdict() for c in found], indent=2))
        return
    if not found:
        typer.echo(f"{before} and {after} decide the same")
    for change in found:
        left, right = to_json(change.before), to_json(change.after)
        typer.echo(f"{change.key}: {left} -> {right}")


@app.command("validate")
def validate_recipe(name: _NAME, overrides: _SET = None, as_json: Json = False) -> None:
    """Check a recipe: keys, signals, rules, language labels, deduplication settings."""
    from pipelines.recipes import load, validate

    recipe = load(name, overrides or [])
    validate(recipe)
    if as_json:
        typer.echo(to_json({"name": recipe.name, "hash": recipe.hash(), "valid": True}))
        return
    from schemas.recipe import Rule
    from stages.dedup import curve

    rules = sum(isinstance(step, Rule) for step in recipe.quality)
    typer.echo(f"{recipe.name} is valid: {rules} quality rules, hash {recipe.hash()[:12]}")
    if recipe.dedup.minhash is not None:
        typer.echo(curve.table(recipe.dedup.minhash.bands, recipe.dedup.minhash.rows))
