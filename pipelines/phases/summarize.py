"""Facts for the report, counted by the workers: each a part of the rows of a large run."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam

from pipelines import storage
from pipelines.phases.finish import FOLDERS
from pipelines.phases.lists import ReadList, write_list
from pipelines.summaries import Part, part_file
from pipelines.workspace import Workspace
from schemas.recipe import Recipe


def summarize_part(part: Part, workspace: Workspace, recipe: Recipe) -> None:
    """Count the rows of a part's files and write the facts.

    Raises InputError for a file that cannot be read.
    """
    # Templates are not needed to count; the package imports them.
    from pipelines.report.counting import count_files, no_facts

    facts = no_facts(recipe)
    for folder in FOLDERS:
        paths = (workspace.path(folder, f"{name}.parquet") for name in part.tasks)
        count_files(facts, folder, paths)
    count_files(facts, "clusters", (workspace.work("clusters", name) for name in part.clusters))
    storage.write_bytes(part_file(workspace, part.name), facts.to_json())


def build(pipeline: beam.Pipeline, parts: list[Part], workspace: Workspace, recipe: Recipe) -> None:
    """One element a part; the files are the output."""
    (
        pipeline
        | "Parts" >> ReadList(write_list(workspace.work("lists"), parts))
        | "Summarize" >> beam.Map(_summarize, workspace, recipe)
    )


def _summarize(part: Sequence[str | list[str]], workspace: Workspace, recipe: Recipe) -> None:
    summarize_part(Part(*part), workspace, recipe)  # type: ignore[arg-type]
