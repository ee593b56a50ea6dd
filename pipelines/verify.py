"""`corpusmill verify`: is a run whole? Counts, schemas, checksums, and that files agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow as pa

from pipelines import storage
from pipelines.workspace import Workspace
from schemas.errors import InputError, ReconcileError
from schemas.run import RunRecordV1
from schemas.shards import DOCS_NAME, MANIFEST_NAME
from schemas.tables import CLUSTER_V1, DOCUMENT_V1, ERROR_V1, REJECTED_V1, VERDICT_V1


class Check(NamedTuple):
    """One thing that was checked; `problem` is empty when it holds."""

    name: str
    problem: str


def verify_run(workspace: Workspace, check_shards: Callable[[str], list[str]]) -> Iterator[Check]:
    """Every check of a run, in order; `check_shards` lists what is wrong with a manifest.

    Raises InputError when the folder holds no run.
    """
    if not storage.exists(workspace.run_file):
        raise InputError(f"{workspace.output} holds no finished run (no run.json)")
    record = RunRecordV1.from_bytes(storage.read_bytes(workspace.run_file), workspace.run_file)
    yield _counts(record)
    rows: dict[str, int] = {}
    for folder, schema in (
        ("documents", DOCUMENT_V1),
        ("rejected", REJECTED_V1),
        ("errors", ERROR_V1),
        ("clusters", CLUSTER_V1),
    ):
        rows[folder], problem = _read_folder(workspace, folder, schema)
        yield Check(f"{folder}/ has the schema and can be read", problem)
    yield _rows_match(record, rows)
    if record.annotated:
        yield _verdicts(record, workspace)
    yield _rules_match(record, workspace)
    yield from _shards(record, workspace, check_shards)


def _counts(record: RunRecordV1) -> Check:
    try:
        record.check()
    except ReconcileError as error:
        return Check("run.json reconciles", str(error))
    return Check("run.json reconciles", "")


def _read_folder(workspace: Workspace, folder: str, schema: pa.Schema) -> tuple[int, str]:
    count = 0
    for path in storage.list_files(workspace.path(folder), ".parquet"):
        try:
            table = storage.read_table(path)
        except (OSError, ValueError) as error:
            return count, f"{path} cannot be read: {' '.join(str(error).split())[:200]}"
        if not table.schema.equals(schema):
            missing = set(schema.names) ^ set(table.schema.names)
            return count, f"{path} has other columns or types ({', '.join(sorted(missing))})"
        count += table.num_rows
    return count, ""


def _rows_match(record: RunRecordV1, rows: dict[str, int]) -> Check:
    name = "rows of documents/, rejected/ and errors/ are those that run.json counts"
    expected = {
        "documents": record.phases[-1].kept,
        "rejected": sum(phase.rejected for phase in record.phases),
        "errors": sum(phase.errors for phase in record.phases),
    }
    differ = [
        f"{folder}/ has {rows[folder]} rows, run.json says {count}"
        for folder, count in expected.items()
        if rows[folder] != count
    ]
    return Check(name, "; ".join(differ))


def _verdicts(record: RunRecordV1, workspace: Workspace) -> Check:
    count, problem = _read_folder(workspace, "verdicts", VERDICT_V1)
    extracted = record.phases[0].kept
    if not problem and count != extracted:
        problem = f"verdicts/ has {count} rows, run.json says {extracted} pages with text"
    return Check("verdicts/ has the schema and a row for every page with text", problem)


def _rules_match(record: RunRecordV1, workspace: Workspace) -> Check:
    found: Counter[str] = Counter()
    for path in storage.list_files(workspace.path("rejected"), ".parquet"):
        found.update(storage.read_table(path, ["rule"]).column("rule").to_pylist())
    problem = "" if found == Counter(record.rules) else "counts by rule differ from run.json"
    return Check("rejections by rule are those that run.json counts", problem)


def _shards(
    record: RunRecordV1, workspace: Workspace, check_shards: Callable[[str], list[str]]
) -> Iterator[Check]:
    name = "shards match their manifest and its checksums"
    manifest = workspace.shards(MANIFEST_NAME)
    if record.fingerprint is None:
        yield Check(name, "")
        return
    if storage.is_remote(manifest):
        yield Check(name, "shards in a remote store are not checked; copy them and verify there")
        return
    yield Check(name, "; ".join(check_shards(manifest)))
    docs = storage.read_table(workspace.shards(DOCS_NAME), ["id"]).num_rows
    kept = record.phases[-1].kept
    problem = "" if docs == kept else f"docs.parquet has {docs} rows, run.json kept {kept}"
    yield Check("every kept document is in a shard", problem)
