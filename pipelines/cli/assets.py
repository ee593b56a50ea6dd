"""`corpusmill assets`: build what a recipe needs ahead of time, for container images."""

from __future__ import annotations

import typer

from pipelines.cli.options import RecipeName
from pipelines.default_recipe import DEFAULT_RECIPE


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: CORPUSMILL_CACHE=/opt/corpusmill corpusmill assets")(assets)


def assets(
    recipe: RecipeName = DEFAULT_RECIPE,
) -> None:
    """Build the lists of a recipe in the cache folder (once a machine; nothing is downloaded)."""
    from pipelines.assets import cache_folder, check_assets, provide_assets
    from pipelines.recipes import load

    loaded = load(recipe)
    check_assets(loaded)
    provide_assets(loaded, typer.echo)
    typer.echo(f"{loaded.name}: ready in {cache_folder()}")
