"""The whole trail of one document through a finished run: what `corpusmill inspect` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import storage
from pipelines.workspace import Workspace
from schemas.errors import InputError, UsageError
from schemas.shards import DOCS_NAME
from stages.url import normalise


class Trail(NamedTuple):
    """Every row that a run holds about the documents asked for."""

    documents: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    clusters: list[dict[str, Any]]
    """Whole clusters: the documents asked for and those they were matched with."""
    shards: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    """Of an annotated run: what its recipe would decide."""


def find_trail(workspace: Workspace, url: str | None, document_id: str | None) -> Trail:
    """Look a document up by URL (as written, or normalised) or by id.

    Raises:
        UsageError: neither or both are given, or the run knows nothing of the document.
        InputError: the folder holds no run.
    """
    if (url is None) == (document_id is None):
        raise UsageError("give exactly one of --url and --id")
    if not (url or document_id):
        raise UsageError("an empty --url or --id names no document")
    if not storage.exists(workspace.run_file):
        raise InputError(f"{workspace.output} holds no finished run (no run.json)")
    matches = _by_id(document_id) if document_id is not None else _by_url(url or "")
    documents = list(_rows(workspace, "documents", matches))
    rejected = list(_rows(workspace, "rejected", matches))
    errors = [] if url is None else list(_rows(workspace, "errors", matches))
    if not documents and not rejected and not errors:
        what = f"URL {url}" if url is not None else f"id {document_id}"
        raise UsageError(f"the run in {workspace.output} has no document with {what}")
    ids = {row["id"] for row in documents + rejected}
    return Trail(
        documents,
        rejected,
        errors,
        _clusters(workspace, ids),
        _shards(workspace, documents),
        list(_verdicts(workspace, documents)),
    )


Match = Callable[[pa.Table], pa.Array]


def _by_id(document_id: str) -> Match:
    def match(table: pa.Table) -> pa.Array:
        return pc.equal(table.column("id"), document_id)

    return match


def _by_url(url: str) -> Match:
    wanted = normalise(url)

    def match(table: pa.Table) -> pa.Array:
        urls = table.column("url").to_pylist()
        return pa.array([u == url or normalise(u) == wanted for u in urls], pa.bool_())

    return match


def _rows(workspace: Workspace, folder: str, match: Match) -> Iterator[dict[str, Any]]:
    for path in storage.list_files(workspace.path(folder), ".parquet"):
        keys = storage.read_table(path, ["url"] if folder == "errors" else ["id", "url"])
        mask = match(keys)
        if pc.any(mask).as_py():
            yield from storage.read_table(path).filter(mask).to_pylist()


def _clusters(workspace: Workspace, ids: set[str]) -> list[dict[str, Any]]:
    paths = storage.list_files(workspace.path("clusters"), ".parquet")
    tables = [storage.read_table(path) for path in paths]
    wanted: set[str] = set()
    for table in tables:
        mask = pc.is_in(table.column("id"), pa.array(sorted(ids), pa.string()))
        wanted.update(table.filter(mask).column("cluster_id").to_pylist())
    values = pa.array(sorted(wanted), pa.string())
    return [
        row
        for table in tables
        for row in table.filter(pc.is_in(table.column("cluster_id"), values)).to_pylist()
    ]


def _verdicts(workspace: Workspace, documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    ids = pa.array([row["id"] for row in documents], pa.string())
    for path in storage.list_files(workspace.path("verdicts"), ".parquet"):
        table = storage.read_table(path)
        yield from table.filter(pc.is_in(table.column("id"), ids)).to_pylist()


def _shards(workspace: Workspace, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    path = workspace.shards(DOCS_NAME)
    if not documents or not storage.exists(path):
        return []
    table = storage.read_table(path)
    ids = pa.array([row["id"] for row in documents], pa.string())
    return table.filter(pc.is_in(table.column("id"), ids)).to_pylist()
