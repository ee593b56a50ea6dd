"""From the Parquet files of a run to facts, a batch of rows at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.report.distribution import Distribution
from pipelines.report.facts import DocumentFacts, RejectedFacts, RowFacts
from pipelines.report.tables import batches, hosts_of, value_counts
from schemas.recipe import Recipe, Rule
from schemas.tables import PII_KINDS

_DATE = r"^\d{4}-\d{2}-\d{2}"
_ENTRIES = pa.list_(pa.struct([pa.field("key", pa.string(), False), ("value", pa.float32())]))


def no_facts(recipe: Recipe) -> RowFacts:
    """Facts of no rows yet, of a run of the recipe."""
    signals = {step.signal for step in recipe.quality if isinstance(step, Rule)}
    return RowFacts(DocumentFacts(signals={name: Distribution() for name in sorted(signals)}))


def count_files(facts: RowFacts, folder: str, paths: Iterable[str]) -> None:
    """Add the rows of files of OUT/`folder`, one of FOLDERS.

    Raises InputError for a file that cannot be read.
    """
    for path in paths:
        FOLDERS[folder](facts, path)


def _add_documents(facts: RowFacts, path: str) -> None:
    columns = ["id", "host", "date", "language", "source", "charset", "extractor"]
    columns += ["n_chars", "n_words", "pii", "signals"]
    row = 0
    for batch in batches(path, columns):
        facts.kept_samples.add(path, row, batch.column("id"))
        row += batch.num_rows
        _add_document_batch(facts.documents, batch)
        _add_words(facts, batch)


def _add_words(facts: RowFacts, batch: pa.RecordBatch) -> None:
    table = pa.table({"language": batch.column("language"), "words": batch.column("n_words")})
    sums = table.group_by("language").aggregate([("words", "sum"), ("words", "count")])
    for row in sums.to_pylist():
        totals = facts.languages[row["language"] or ""]
        totals.documents += row["words_count"]
        totals.words += row["words_sum"] or 0


def _add_rejected(facts: RowFacts, path: str) -> None:
    row = 0
    for batch in batches(path, ["id", "url", "rule", "value", "language"]):
        facts.rejected_samples.add(path, row, batch.column("id"), batch.column("rule"))
        row += batch.num_rows
        _add_rejected_batch(facts.rejected, batch)
        for language, count in value_counts(batch.column("language")).items():
            facts.languages[language].rejected += count


def _add_errors(facts: RowFacts, path: str) -> None:
    row = 0
    for batch in batches(path, ["file", "offset", "stage", "error"]):
        kinds = pc.binary_join_element_wise(batch.column("stage"), batch.column("error"), ".")
        places = pc.binary_join_element_wise(
            batch.column("file"), pc.cast(batch.column("offset"), pa.string()), ":"
        )
        facts.error_samples.add(path, row, places, kinds)
        row += batch.num_rows


def _add_clusters(facts: RowFacts, path: str) -> None:
    for batch in batches(path, ["cluster_size", "method", "kept"]):
        kept = batch.column("kept")
        sizes = batch.column("cluster_size").filter(kept)
        facts.clusters.sizes.update(_int_counts(sizes))
        dropped = batch.column("method").filter(pc.invert(kept))
        facts.clusters.dropped.update(value_counts(dropped))


FOLDERS: dict[str, Callable[[RowFacts, str], None]] = {
    "documents": _add_documents,
    "rejected": _add_rejected,
    "errors": _add_errors,
    "clusters": _add_clusters,
}
"""Folder of a run's rows -> what adds a file of them to the facts."""


def _add_document_batch(facts: DocumentFacts, batch: pa.RecordBatch) -> None:
    words, characters = numbers(batch.column("n_words")), numbers(batch.column("n_chars"))
    facts.count += batch.num_rows
    facts.words.add(words)
    facts.characters.add(characters)
    facts.total_words += int(words.sum())
    facts.total_characters += int(characters.sum())
    for name, counts in (
        ("host", facts.hosts),
        ("source", facts.sources),
        ("charset", facts.charsets),
        ("extractor", facts.extractors),
    ):
        counts.add(value_counts(batch.column(name)))
    _add_pii(facts, batch.column("pii"))
    add_signals(facts, batch.column("signals"))
    _add_dates(facts, batch.column("date"))


def _add_pii(facts: DocumentFacts, pii: pa.Array) -> None:
    touched = np.zeros(len(pii), dtype=bool)
    for kind in PII_KINDS:
        found = numbers(pc.struct_field(pii, kind)) > 0
        facts.pii_documents[kind] += int(found.sum())
        touched |= found
    facts.pii_any += int(touched.sum())


def add_signals(facts: DocumentFacts, signals: pa.MapArray) -> None:
    """Count the values of the signals that the facts are about."""
    entries = pc.list_flatten(signals.cast(_ENTRIES))
    names = pc.struct_field(entries, "key").dictionary_encode()
    codes = names.indices.to_numpy(zero_copy_only=False)
    values = numbers(pc.struct_field(entries, "value"))
    for code, name in enumerate(names.dictionary.to_pylist()):
        if name in facts.signals:
            facts.signals[name].add(values[codes == code])


def _add_dates(facts: DocumentFacts, dates: pa.Array) -> None:
    valid = dates.filter(pc.fill_null(pc.match_substring_regex(dates, _DATE), False))
    if len(valid):
        span = pc.min_max(pc.utf8_slice_codeunits(valid, 0, 10)).as_py()
        facts.add_dates(span["min"], span["max"])


def _add_rejected_batch(facts: RejectedFacts, batch: pa.RecordBatch) -> None:
    hosts = hosts_of(batch.column("url"))
    facts.hosts.add(value_counts(hosts.drop_null()))
    rules = batch.column("rule").dictionary_encode()
    codes = rules.indices.to_numpy(zero_copy_only=False)
    values = pc.cast(batch.column("value"), pa.float64()).to_numpy(zero_copy_only=False)
    for code, rule in enumerate(rules.dictionary.to_pylist()):
        facts.values[rule].add(values[codes == code])


def numbers(column: pa.Array) -> np.ndarray:
    """As floats; null is 0."""
    floats: np.ndarray = pc.cast(pc.fill_null(column, 0), pa.float64()).to_numpy(
        zero_copy_only=False
    )
    return floats


def _int_counts(column: pa.Array) -> Counter[int]:
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()})
