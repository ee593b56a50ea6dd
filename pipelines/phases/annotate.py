"""Phase 1 of an annotated run: all that `decide` needs of a page, beside the ordinary files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipelines import storage
from pipelines.phases.extract import ExtractDoFn, TaskRows
from pipelines.pool import Killed
from pipelines.sources import Task
from pipelines.workspace import Workspace
from schemas.page import Page
from schemas.tables import ANNOTATED_V1, VERDICT_V1
from schemas.verdict import Annotation, Failure, GateSample, Outcome, Rejection
from stages.refine import document_id

FOLDER = "annotated"
VERDICTS = "verdicts"

FIXED_STAGES = frozenset({"read", "page"})
"""What is decided there is decided before a recipe's URL rules: no other recipe is asked again."""

_PAGE_FIELDS = ("url", "date", "warc_file", "warc_offset", "warc_length", "source")
_OUTCOME_FIELDS = (
    *("id", "host", "mime", "charset", "extractor"),
    *("text", "language", "language_score", "n_words"),
)


class AnnotatedRows(TaskRows):
    """The rows of a task, with the verdicts and what another recipe can be decided from."""

    def __init__(self, task: Task, recipe_hash: str) -> None:
        super().__init__(task, recipe_hash)
        self.annotated: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []

    def add(self, page: Page, outcome: Outcome | Killed) -> None:
        """Account for one page."""
        super().add(page, outcome)
        if isinstance(outcome, Killed):
            failure = Failure("extract", outcome.error, outcome.detail)
            self.annotated.append(annotated_row(page, _unfinished(page, failure)))
            return
        end = outcome.failure or outcome.rejection
        if end is None or end.stage not in FIXED_STAGES:
            self.annotated.append(annotated_row(page, outcome))
        if end is None:
            self.verdicts.append(_verdict_row(page, outcome))

    def _add_key(self, shared: dict[str, Any], outcome: Outcome) -> None:
        """Nothing is deduplicated."""

    def write(self, workspace: Workspace) -> list[str]:
        """All files of the task, each atomically; returns their paths for the marker."""
        paths = super().write(workspace)
        for path, rows, schema in (
            (annotated_file(workspace, self.task.name), self.annotated, ANNOTATED_V1),
            (workspace.path(VERDICTS, f"{self.task.name}.parquet"), self.verdicts, VERDICT_V1),
        ):
            storage.write_table(path, pa.Table.from_pylist(rows, schema=schema))
            paths.append(path)
        return paths

    def summary(self, seconds: float) -> dict[str, Any]:
        """As of any task, and how often each rule is the verdict; "" for kept documents."""
        verdicts = Counter(row["rule"] or "" for row in self.verdicts)
        return {**super().summary(seconds), "verdicts": dict(verdicts)}


class AnnotateDoFn(ExtractDoFn):
    """ExtractDoFn for an annotated run."""

    ANNOTATE = True
    ROWS = AnnotatedRows


def annotated_file(workspace: Workspace, name: str) -> str:
    """Path of a task's annotated pages."""
    return workspace.work(FOLDER, f"{name}.parquet")


def annotated_row(page: Page, outcome: Outcome) -> dict[str, Any]:
    """A row of ANNOTATED_V1."""
    row = {name: getattr(page, name) for name in _PAGE_FIELDS}
    row |= {name: getattr(outcome, name) for name in _OUTCOME_FIELDS}
    gate = outcome.annotation.gate if outcome.annotation is not None else None
    row |= {
        "signals": list(outcome.signals.items()),
        "gate": gate._asdict() if gate is not None else None,
        "error": outcome.failure.error if outcome.failure is not None else None,
        "detail": outcome.failure.detail if outcome.failure is not None else None,
    }
    return row


def read_annotated(path: str) -> Iterator[tuple[Page, Outcome]]:
    """The pages of a task as they were annotated, without their payload."""
    for row in storage.read_table(path).to_pylist():
        failure = None
        if row["error"] is not None:
            failure = Failure("extract", row["error"], row["detail"])
        page = _page(**{name: row[name] for name in _PAGE_FIELDS})
        outcome = _unfinished(page, failure)._replace(
            **{name: row[name] for name in _OUTCOME_FIELDS},
            n_chars=len(row["text"]),
            signals=dict(row["signals"]),
            annotation=Annotation(None, GateSample(**row["gate"]) if row["gate"] else None),
        )
        yield page, outcome


def _page(**fields: Any) -> Page:
    return Page(
        **fields,
        record_id="",
        record_type="",
        http_status=0,
        content_type="",
        mime="",
        body=b"",
    )


def _unfinished(page: Page, failure: Failure | None) -> Outcome:
    return Outcome(
        id=document_id(page),
        url=page.url,
        host="",
        text="",
        language="",
        language_score=0.0,
        mime="",
        charset="",
        extractor="",
        n_chars=0,
        n_words=0,
        content_hash="",
        url_key=0,
        bands=b"",
        signals={},
        seconds_by_step={},
        failure=failure,
    )


def _verdict_row(page: Page, outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.annotation.verdict if outcome.annotation is not None else None
    return {
        "id": outcome.id,
        "warc_file": page.warc_file,
        "warc_offset": page.warc_offset,
        **(verdict._asdict() if verdict is not None else dict.fromkeys(Rejection._fields)),
    }
