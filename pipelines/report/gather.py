"""All that the sections of the report and the data card draw on, from the files of a run alone."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipelines import storage, summaries
from pipelines.report.counting import FOLDERS, count_files, no_facts, numbers
from pipelines.report.distribution import Distribution
from pipelines.report.facts import (
    ClusterFacts,
    DocumentFacts,
    LanguageTotals,
    RejectedFacts,
    RowFacts,
)
from pipelines.report.samples import Sample, read_samples
from pipelines.report.tables import batches, files
from pipelines.report.trained import FINETUNED, TrainingFacts, read_training
from pipelines.workspace import Workspace
from schemas.errors import InputError
from schemas.recipe import Recipe
from schemas.run import RunRecordV1
from schemas.shards import DOCS_NAME, MANIFEST_NAME, ShardManifestV1

KEPT_COLUMNS = ["url", "date", "language", "language_score", "n_words", "cluster_size"]
KEPT_COLUMNS += ["split", "pii", "text"]
REJECTED_COLUMNS = ["url", "value", "threshold", "detail", "language", "text"]
ERROR_COLUMNS = ["file", "offset", "length", "detail", "url"]


@dataclass
class RunFacts:
    """A finished run, counted."""

    record: RunRecordV1
    recipe: Recipe
    documents: DocumentFacts
    rejected: RejectedFacts
    clusters: ClusterFacts
    languages: dict[str, LanguageTotals]
    tokens: Distribution
    manifest: ShardManifestV1 | None
    kept_samples: list[Sample]
    rejected_samples: dict[str, list[Sample]]
    error_samples: dict[str, list[Sample]]
    training: TrainingFacts | None = None
    finetuning: TrainingFacts | None = None

    @property
    def records_in(self) -> int:
        """Records that could have become documents."""
        return self.record.phases[0].in_ if self.record.phases else 0

    @property
    def kept(self) -> int:
        """Documents in the end."""
        return self.record.phases[-1].kept if self.record.phases else 0


def gather(workspace: Workspace) -> RunFacts:
    """Read the files of a finished run; where workers left the facts of all rows, those instead.

    Raises InputError when there is no run, or one of its files cannot be read.
    """
    if not storage.exists(workspace.run_file):
        raise InputError(f"{workspace.output} holds no finished run (no run.json)")
    record = RunRecordV1.from_bytes(storage.read_bytes(workspace.run_file), workspace.run_file)
    try:
        recipe = Recipe.model_validate(record.recipe)
    except ValueError as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(f"{workspace.run_file} holds no recipe: {line}") from error
    counted = summaries.whole(workspace, recipe.hash())
    rows = _merged(workspace, recipe, counted) if counted else _all_rows(workspace, recipe)
    manifest = _manifest(workspace, record)
    tokens = Distribution() if manifest is None else count_tokens(workspace, rows)
    return RunFacts(
        record=record,
        recipe=recipe,
        documents=rows.documents,
        rejected=rows.rejected,
        clusters=rows.clusters,
        languages=dict(rows.languages),
        tokens=tokens,
        manifest=manifest,
        kept_samples=read_samples(rows.kept_samples.picked(), KEPT_COLUMNS).get("", []),
        rejected_samples=read_samples(rows.rejected_samples.picked(), REJECTED_COLUMNS),
        error_samples=read_samples(rows.error_samples.picked(), ERROR_COLUMNS),
        training=read_training(workspace),
        finetuning=read_training(workspace, FINETUNED),
    )


def _all_rows(workspace: Workspace, recipe: Recipe) -> RowFacts:
    facts = no_facts(recipe)
    for folder in FOLDERS:
        count_files(facts, folder, files(workspace, folder))
    return facts


def _merged(workspace: Workspace, recipe: Recipe, parts: list[str]) -> RowFacts:
    facts = no_facts(recipe)
    for part in parts:
        facts.merge(RowFacts.from_json(storage.read_bytes(part), workspace))
    return facts


def _manifest(workspace: Workspace, record: RunRecordV1) -> ShardManifestV1 | None:
    path = workspace.shards(MANIFEST_NAME)
    if record.fingerprint is None or not storage.exists(path):
        return None
    try:
        return ShardManifestV1.model_validate_json(storage.read_bytes(path))
    except ValueError as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is not a shard manifest: {line}") from error


def count_tokens(workspace: Workspace, facts: RowFacts) -> Distribution:
    """The tokens of documents; those of each language are added to the facts."""
    tokens = Distribution()
    docs = workspace.shards(DOCS_NAME)
    if not storage.exists(docs):
        return tokens
    for batch in batches(docs, ["language", "tokens"]):
        tokens.add(numbers(batch.column("tokens")))
        table = pa.Table.from_batches([batch])
        for row in table.group_by("language").aggregate([("tokens", "sum")]).to_pylist():
            facts.languages[row["language"] or ""].tokens += row["tokens_sum"] or 0
    return tokens
