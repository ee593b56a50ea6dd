"""`corpusmill verify`: is a run whole? Counts, schemas, checksums, and that files agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import xxhash

from pipelines import storage
from pipelines.stored_shards import read_manifest, stored_shard_problems
from pipelines.workspace import Workspace
from schemas.errors import CorpusmillError, InputError
from schemas.run import RunRecordV1
from schemas.shards import DOCS_NAME, MANIFEST_NAME
from schemas.tables import CLUSTER_V1, DOCUMENT_V1, ERROR_V1, REJECTED_V1, VERDICT_V1

_SHARED_COLUMNS = ["id", "split", "url", "language"]
"""What documents/ and shards/docs.parquet both say of a document."""


class Check(NamedTuple):
    """One thing that was checked; `problem` is empty when it holds."""

    name: str
    problem: str


def verify_run(workspace: Workspace, check_shards: Callable[[str], list[str]]) -> Iterator[Check]:
    """Every check of a run, in order; `check_shards` lists what is wrong with a manifest.

    A file that cannot be read is a problem like any other. Raises InputError when the folder
    holds no run.
    """
    if not storage.exists(workspace.run_file):
        raise InputError(f"{workspace.output} holds no finished run (no run.json)")
    record = RunRecordV1.from_bytes(storage.read_bytes(workspace.run_file), workspace.run_file)
    for name, find in _checks(record, workspace, check_shards):
        yield Check(name, _problem(find))


Finder = Callable[[], str]
"""Returns what is wrong, or an empty string."""


def _checks(
    record: RunRecordV1, workspace: Workspace, check_shards: Callable[[str], list[str]]
) -> Iterator[tuple[str, Finder]]:
    yield "run.json reconciles", lambda: _record(record)
    for folder, schema, expected in _folders(record):
        yield (
            f"{folder}/ has the schema and the rows that run.json counts",
            lambda f=folder, s=schema, e=expected: _folder(workspace, f, s, e),  # type: ignore[misc]
        )
    yield "rejections by rule are those that run.json counts", lambda: _rules(record, workspace)
    yield "errors by kind are those that run.json counts", lambda: _errors(record, workspace)
    yield "documents are of this recipe and its languages", lambda: _documents(record, workspace)
    if record.annotated:
        yield "an annotated run has no clusters and no shards", lambda: _nothing_more(workspace)
        return
    yield "clusters drop what run.json counts", lambda: _clusters(record, workspace)
    if record.fingerprint is None:
        yield "there are no shards", lambda: _no_shards(workspace)
    elif storage.is_remote(workspace.output):
        yield "shards have the checksums of their manifest", lambda: _stored_shards(workspace)
    else:
        yield (
            "shards match their manifest and its checksums",
            lambda: _shards(workspace, check_shards),
        )
    if record.fingerprint is not None:
        yield "the manifest is that of this run", lambda: _manifest(record, workspace)
        yield "every document is in a shard", lambda: _in_shards(workspace)


def _problem(find: Finder) -> str:
    try:
        return find()
    except (CorpusmillError, pa.ArrowException, OSError) as error:
        return " ".join(str(error).split())[:300] or type(error).__name__


def _folders(record: RunRecordV1) -> Iterator[tuple[str, pa.Schema, int | None]]:
    yield "documents", DOCUMENT_V1, record.phases[-1].kept
    yield "rejected", REJECTED_V1, sum(phase.rejected for phase in record.phases)
    yield "errors", ERROR_V1, sum(phase.errors for phase in record.phases)
    if record.annotated:
        yield "verdicts", VERDICT_V1, record.phases[0].kept
    else:
        yield "clusters", CLUSTER_V1, None


def _record(record: RunRecordV1) -> str:
    record.check()
    return ""


def _folder(workspace: Workspace, folder: str, schema: pa.Schema, expected: int | None) -> str:
    count = 0
    for path in _files(workspace, folder):
        table = storage.read_table(path)
        if not table.schema.equals(schema):
            return f"{path} has other columns or types ({_difference(schema, table.schema)})"
        count += table.num_rows
    if expected is not None and count != expected:
        return f"{folder}/ has {count} rows, run.json says {expected}"
    return ""


def _difference(expected: pa.Schema, found: pa.Schema) -> str:
    names = [field.name for field in expected if field not in found]
    return ", ".join(names + [field.name for field in found if field.name not in expected.names])


def _files(workspace: Workspace, folder: str) -> list[str]:
    return storage.list_files(workspace.path(folder), ".parquet")


def _values(paths: Iterable[str], columns: list[str]) -> Iterator[tuple[str, ...]]:
    for path in paths:
        table = storage.read_table(path, columns)
        missing = [name for name in columns if name not in table.column_names]
        if missing:
            raise InputError(f"{path} has no column {missing[0]}")
        yield from zip(*(table.column(name).to_pylist() for name in columns), strict=True)


def _rules(record: RunRecordV1, workspace: Workspace) -> str:
    found = Counter(rule for (rule,) in _values(_files(workspace, "rejected"), ["rule"]))
    return _compare(found, Counter(record.rules))


def _errors(record: RunRecordV1, workspace: Workspace) -> str:
    rows = _values(_files(workspace, "errors"), ["stage", "error"])
    return _compare(Counter(".".join(kind) for kind in rows), Counter(record.errors))


def _documents(record: RunRecordV1, workspace: Workspace) -> str:
    rows = _values(_files(workspace, "documents"), ["recipe_hash", "language"])
    languages: Counter[str] = Counter()
    for recipe_hash, language in rows:
        if recipe_hash != record.recipe_hash:
            return f"a document has recipe_hash {recipe_hash}, run.json says {record.recipe_hash}"
        languages[language] += 1
    return _compare(languages, Counter(record.languages))


def _clusters(record: RunRecordV1, workspace: Workspace) -> str:
    rows = _values(_files(workspace, "clusters"), ["method", "kept"])
    dropped = Counter(f"dedup.{method}" for method, kept in rows if not kept)
    expected = {rule: n for rule, n in record.rules.items() if rule.startswith("dedup.")}
    return _compare(dropped, Counter(expected))


def _compare(found: Counter[str], expected: Counter[str]) -> str:
    names = [name for name in sorted({*found, *expected}) if found[name] != expected[name]]
    if not names:
        return ""
    shown = [f"{name}: {found[name]} rows, run.json says {expected[name]}" for name in names[:3]]
    return "; ".join(shown) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


def _nothing_more(workspace: Workspace) -> str:
    if _files(workspace, "clusters"):
        return "clusters/ holds files"
    return _no_shards(workspace)


def _no_shards(workspace: Workspace) -> str:
    there = storage.exists(workspace.shards(MANIFEST_NAME))
    return f"{workspace.shards(MANIFEST_NAME)} is there, but run.json names no shards" * there


def _shards(workspace: Workspace, check_shards: Callable[[str], list[str]]) -> str:
    return "; ".join(check_shards(workspace.shards(MANIFEST_NAME)))


def _stored_shards(workspace: Workspace) -> str:
    manifest = read_manifest(workspace)
    return "; ".join(stored_shard_problems(manifest, workspace.shards()))


def _manifest(record: RunRecordV1, workspace: Workspace) -> str:
    manifest = read_manifest(workspace)
    for name in ("fingerprint", "recipe_hash"):
        found, said = getattr(manifest, name), getattr(record, name)
        if found != said:
            return f"its {name} is {found}, run.json says {said}"
    totals = {s.split: (s.docs, s.tokens) for s in record.shards}
    for split in sorted({*totals, *(entry.split for entry in manifest.shards)}):
        entries = [entry for entry in manifest.shards if entry.split == split]
        sums = sum(entry.docs for entry in entries), sum(entry.tokens for entry in entries)
        if totals.get(split) != sums:
            return (
                f"split {split} has {sums} documents and tokens, run.json says {totals.get(split)}"
            )
    return ""


def _in_shards(workspace: Workspace) -> str:
    documents = _files(workspace, "documents")
    packed = [workspace.shards(DOCS_NAME)]
    if _digest(documents) == _digest(packed):
        return ""
    inside, outside = (set(_values(paths, _SHARED_COLUMNS)) for paths in (packed, documents))
    for lacking, where in ((outside - inside, DOCS_NAME), (inside - outside, "documents/")):
        if lacking:
            return f"{where} lacks {len(lacking)} (first: id {min(lacking, key=str)[0]})"
    return "a document is there more than once on one side"


def _digest(paths: list[str]) -> tuple[int, int]:
    """How many, and a sum of hashes: the same for the same documents in any order, in little
    memory."""
    count = total = 0
    for row in _values(paths, _SHARED_COLUMNS):
        count += 1
        total += xxhash.xxh3_128_intdigest("\0".join(map(str, row)).encode())
    return count, total % 2**128
