"""What the report says of a run, counted file by file with bounded memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import storage
from pipelines.report.distribution import Distribution, TopCounts
from pipelines.report.samples import Picker, Sample, read_samples
from pipelines.report.tables import batches, files, hosts_of, value_counts
from pipelines.workspace import Workspace
from schemas.errors import InputError
from schemas.recipe import Recipe, Rule
from schemas.run import RunRecordV1
from schemas.shards import DOCS_NAME, MANIFEST_NAME, ShardManifestV1
from schemas.tables import PII_KINDS

HOSTS_HELD = 200_000
"""Host names held at a time; more make the counts of rare hosts lower bounds."""
LABELS_HELD = 1_000
SAMPLES_KEPT = 12
SAMPLES_PER_RULE = 3
ERRORS_PER_KIND = 3

KEPT_COLUMNS = ["url", "date", "language", "language_score", "n_words", "cluster_size"]
KEPT_COLUMNS += ["split", "pii", "text"]
REJECTED_COLUMNS = ["url", "value", "threshold", "detail", "language", "text"]
ERROR_COLUMNS = ["file", "offset", "length", "detail", "url"]

_DATE = r"^\d{4}-\d{2}-\d{2}"


@dataclass
class LanguageTotals:
    """One language: kept documents with their words and tokens, and rejected ones."""

    documents: int = 0
    words: int = 0
    tokens: int = 0
    rejected: int = 0


@dataclass
class DocumentFacts:
    """The kept documents."""

    count: int = 0
    words: Distribution = field(default_factory=Distribution)
    characters: Distribution = field(default_factory=Distribution)
    total_words: int = 0
    total_characters: int = 0
    hosts: TopCounts = field(default_factory=lambda: TopCounts(HOSTS_HELD))
    sources: TopCounts = field(default_factory=lambda: TopCounts(LABELS_HELD))
    charsets: TopCounts = field(default_factory=lambda: TopCounts(LABELS_HELD))
    extractors: TopCounts = field(default_factory=lambda: TopCounts(LABELS_HELD))
    pii_documents: Counter[str] = field(default_factory=Counter)
    """Documents in which a kind was replaced at least once."""
    pii_any: int = 0
    signals: dict[str, Distribution] = field(default_factory=dict)
    """Of the signals that the recipe's rules read."""
    first_date: str = ""
    last_date: str = ""


@dataclass
class RejectedFacts:
    """The rejected documents."""

    hosts: TopCounts = field(default_factory=lambda: TopCounts(HOSTS_HELD))
    values: defaultdict[str, Distribution] = field(
        default_factory=lambda: defaultdict(Distribution)
    )
    """Rule -> the measured values that broke it."""


@dataclass
class ClusterFacts:
    """Groups of duplicates; each is counted once, by the document that stayed."""

    sizes: Counter[int] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """Method -> documents dropped."""

    @property
    def count(self) -> int:
        """How many groups there are."""
        return self.sizes.total()


@dataclass
class RunFacts:
    """Everything that the sections of the report and the data card draw on."""

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

    @property
    def records_in(self) -> int:
        """Records that could have become documents."""
        return self.record.phases[0].in_ if self.record.phases else 0

    @property
    def kept(self) -> int:
        """Documents in the end."""
        return self.record.phases[-1].kept if self.record.phases else 0


def gather(workspace: Workspace) -> RunFacts:
    """Read the files of a finished run.

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
    return _Gatherer(workspace, record, recipe).gather()


class _Gatherer:
    """The pass over each kind of file; the languages meet in all of them."""

    def __init__(self, workspace: Workspace, record: RunRecordV1, recipe: Recipe) -> None:
        self._workspace = workspace
        self._record = record
        self._recipe = recipe
        self._languages: defaultdict[str, LanguageTotals] = defaultdict(LanguageTotals)

    def gather(self) -> RunFacts:
        documents, kept = self._documents()
        rejected, turned_down = self._rejected()
        manifest, tokens = self._shards()
        return RunFacts(
            record=self._record,
            recipe=self._recipe,
            documents=documents,
            rejected=rejected,
            clusters=self._clusters(),
            languages=dict(self._languages),
            tokens=tokens,
            manifest=manifest,
            kept_samples=kept,
            rejected_samples=turned_down,
            error_samples=self._errors(),
        )

    def _documents(self) -> tuple[DocumentFacts, list[Sample]]:
        signals = {step.signal for step in self._recipe.quality if isinstance(step, Rule)}
        facts = DocumentFacts(signals={name: Distribution() for name in sorted(signals)})
        picker = Picker(SAMPLES_KEPT)
        columns = ["id", "host", "date", "language", "source", "charset", "extractor"]
        columns += ["n_chars", "n_words", "pii", "signals"]
        for path in files(self._workspace, "documents"):
            row = 0
            for batch in batches(path, columns):
                picker.add(path, row, batch.column("id"))
                row += batch.num_rows
                _add_documents(facts, batch)
                self._add_words(batch)
        return facts, read_samples(picker.picked(), KEPT_COLUMNS).get("", [])

    def _add_words(self, batch: pa.RecordBatch) -> None:
        table = pa.table({"language": batch.column("language"), "words": batch.column("n_words")})
        sums = table.group_by("language").aggregate([("words", "sum"), ("words", "count")])
        for row in sums.to_pylist():
            totals = self._languages[row["language"] or ""]
            totals.documents += row["words_count"]
            totals.words += row["words_sum"] or 0

    def _rejected(self) -> tuple[RejectedFacts, dict[str, list[Sample]]]:
        facts = RejectedFacts()
        picker = Picker(SAMPLES_PER_RULE)
        columns = ["id", "url", "rule", "value", "language"]
        for path in files(self._workspace, "rejected"):
            row = 0
            for batch in batches(path, columns):
                picker.add(path, row, batch.column("id"), batch.column("rule"))
                row += batch.num_rows
                _add_rejected(facts, batch)
                for language, count in value_counts(batch.column("language")).items():
                    self._languages[language].rejected += count
        return facts, read_samples(picker.picked(), REJECTED_COLUMNS)

    def _errors(self) -> dict[str, list[Sample]]:
        picker = Picker(ERRORS_PER_KIND)
        for path in files(self._workspace, "errors"):
            row = 0
            for batch in batches(path, ["file", "offset", "stage", "error"]):
                kinds = pc.binary_join_element_wise(
                    batch.column("stage"), batch.column("error"), "."
                )
                places = pc.binary_join_element_wise(
                    batch.column("file"), pc.cast(batch.column("offset"), pa.string()), ":"
                )
                picker.add(path, row, places, kinds)
                row += batch.num_rows
        return read_samples(picker.picked(), ERROR_COLUMNS)

    def _clusters(self) -> ClusterFacts:
        facts = ClusterFacts()
        for path in files(self._workspace, "clusters"):
            for batch in batches(path, ["cluster_size", "method", "kept"]):
                kept = batch.column("kept")
                sizes = batch.column("cluster_size").filter(kept)
                facts.sizes.update(_int_counts(sizes))
                facts.dropped.update(value_counts(batch.column("method").filter(pc.invert(kept))))
        return facts

    def _shards(self) -> tuple[ShardManifestV1 | None, Distribution]:
        tokens = Distribution()
        path = self._workspace.shards(MANIFEST_NAME)
        if self._record.fingerprint is None or not storage.exists(path):
            return None, tokens
        try:
            manifest = ShardManifestV1.model_validate_json(storage.read_bytes(path))
        except ValueError as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"{path} is not a shard manifest: {line}") from error
        docs = self._workspace.shards(DOCS_NAME)
        if not storage.exists(docs):
            return manifest, tokens
        for batch in batches(docs, ["language", "tokens"]):
            tokens.add(_numbers(batch.column("tokens")))
            table = pa.Table.from_batches([batch])
            for row in table.group_by("language").aggregate([("tokens", "sum")]).to_pylist():
                self._languages[row["language"] or ""].tokens += row["tokens_sum"] or 0
        return manifest, tokens


def _add_documents(facts: DocumentFacts, batch: pa.RecordBatch) -> None:
    words, characters = _numbers(batch.column("n_words")), _numbers(batch.column("n_chars"))
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
    _add_signals(facts, batch.column("signals"))
    _add_dates(facts, batch.column("date"))


def _add_pii(facts: DocumentFacts, pii: pa.Array) -> None:
    touched = np.zeros(len(pii), dtype=bool)
    for kind in PII_KINDS:
        found = _numbers(pc.struct_field(pii, kind)) > 0
        facts.pii_documents[kind] += int(found.sum())
        touched |= found
    facts.pii_any += int(touched.sum())


def _add_signals(facts: DocumentFacts, signals: pa.MapArray) -> None:
    entries = pc.list_flatten(signals.cast(_ENTRIES))
    names = pc.struct_field(entries, "key").dictionary_encode()
    codes = names.indices.to_numpy(zero_copy_only=False)
    values = _numbers(pc.struct_field(entries, "value"))
    for code, name in enumerate(names.dictionary.to_pylist()):
        if name in facts.signals:
            facts.signals[name].add(values[codes == code])


_ENTRIES = pa.list_(pa.struct([pa.field("key", pa.string(), False), ("value", pa.float32())]))


def _add_dates(facts: DocumentFacts, dates: pa.Array) -> None:
    valid = dates.filter(pc.fill_null(pc.match_substring_regex(dates, _DATE), False))
    if len(valid):
        span = pc.min_max(pc.utf8_slice_codeunits(valid, 0, 10)).as_py()
        facts.first_date = min(facts.first_date or span["min"], span["min"])
        facts.last_date = max(facts.last_date, span["max"])


def _add_rejected(facts: RejectedFacts, batch: pa.RecordBatch) -> None:
    hosts = hosts_of(batch.column("url"))
    facts.hosts.add(value_counts(hosts.drop_null()))
    rules = batch.column("rule").dictionary_encode()
    codes = rules.indices.to_numpy(zero_copy_only=False)
    values = pc.cast(batch.column("value"), pa.float64()).to_numpy(zero_copy_only=False)
    for code, rule in enumerate(rules.dictionary.to_pylist()):
        facts.values[rule].add(values[codes == code])


def _numbers(column: pa.Array) -> np.ndarray:
    numbers: np.ndarray = pc.cast(pc.fill_null(column, 0), pa.float64()).to_numpy(
        zero_copy_only=False
    )
    return numbers


def _int_counts(column: pa.Array) -> Counter[int]:
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()})
