"""The report of a run: OUT/report.html and OUT/DATA_CARD.md, from the files of the run alone."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines import storage
from pipelines.workspace import Workspace
from schemas.errors import InputError
from schemas.run import RunRecordV1


def write_report(workspace: Workspace) -> None:
    """Write report.html and DATA_CARD.md of a finished run.

    Raises InputError when the folder holds no run.
    """
    if not storage.exists(workspace.run_file):
        raise InputError(f"{workspace.output} holds no finished run (no run.json)")
    record = RunRecordV1.from_bytes(storage.read_bytes(workspace.run_file), workspace.run_file)
    environment = Environment(
        loader=PackageLoader("pipelines.report"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(record=record)
    storage.write_bytes(workspace.path("report.html"), page.encode())
    card = f"# {record.recipe['name']}\n\nrecipe hash {record.recipe_hash}\n"
    storage.write_bytes(workspace.path("DATA_CARD.md"), card.encode())
