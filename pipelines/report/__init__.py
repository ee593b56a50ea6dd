"""The report of a run: OUT/report.html and OUT/DATA_CARD.md, from the files of the run alone."""

from __future__ import annotations

from pipelines import storage
from pipelines.report.card import render_card
from pipelines.report.gather import gather
from pipelines.report.page import render_page
from pipelines.workspace import Workspace


def write_report(workspace: Workspace) -> None:
    """Write report.html and DATA_CARD.md of a finished run.

    The same files of a run give the same bytes: nothing depends on the clock, on where the run
    lies or on the machine that writes the report.

    Raises:
        InputError: the folder holds no run, or one of its files cannot be read.
        OutputError: the report cannot be written.
    """
    facts = gather(workspace)
    storage.write_bytes(workspace.path("report.html"), render_page(facts).encode())
    storage.write_bytes(workspace.path("DATA_CARD.md"), render_card(facts).encode())
