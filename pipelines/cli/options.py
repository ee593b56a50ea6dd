"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

RecipeName = Annotated[
    str, typer.Option("--recipe", "-r", help="A name from `recipes list`, or a YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of the recipe: language.threshold=0.8"),
]
InputsFrom = Annotated[
    str | None,
    typer.Option(
        "--inputs-from",
        metavar="FILE",
        help="A file that lists inputs, one a line, as warc.paths.gz does: plain or gzip, local "
        "or remote, - for standard input.",
    ),
]
InputsPrefix = Annotated[
    str | None,
    typer.Option(
        "--inputs-prefix",
        metavar="PREFIX",
        help="URL or folder to put before the relative lines of --inputs-from.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        help="Child processes; default: one a core, and 1 a worker process on a cluster.",
    ),
]
NoResume = Annotated[
    bool, typer.Option("--no-resume", help="Discard what --output holds of an earlier run.")
]
Clean = Annotated[
    bool, typer.Option("--clean", help="Remove .work of --output at the end (no resume then).")
]
Runner = Annotated[
    str | None,
    typer.Option(
        "--runner",
        help="Beam runner; default: the in-memory local one. Its options may follow.",
    ),
]
RunJson = Annotated[bool, typer.Option("--json", help="Print run.json when done.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key: optimizer.lr=0.001, parallel.dp_shard=8"),
]
"""Of the configuration of a training run."""
