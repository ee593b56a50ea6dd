"""What the report says of a run's rows: counts of bounded size that can be merged.

Large runs have them made by the workers, each of a part of the rows; the driver merges the parts.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.report.distribution import Distribution, TopCounts
from pipelines.report.samples import Picker
from pipelines.workspace import Workspace

HOSTS_HELD = 200_000
"""Host names held at a time; more make the counts of rare hosts lower bounds."""
LABELS_HELD = 1_000
SAMPLES_KEPT = 12
SAMPLES_PER_RULE = 3
ERRORS_PER_KIND = 3


@dataclass
class LanguageTotals:
    """One language: kept documents with their words and tokens, and rejected ones."""

    documents: int = 0
    words: int = 0
    tokens: int = 0
    rejected: int = 0

    def merge(self, other: LanguageTotals) -> None:
        """Add the other's."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


def _hosts() -> TopCounts:
    return TopCounts(HOSTS_HELD)


def _labels() -> TopCounts:
    return TopCounts(LABELS_HELD)


@dataclass
class DocumentFacts:
    """The kept documents."""

    count: int = 0
    words: Distribution = field(default_factory=Distribution)
    characters: Distribution = field(default_factory=Distribution)
    total_words: int = 0
    total_characters: int = 0
    hosts: TopCounts = field(default_factory=_hosts)
    sources: TopCounts = field(default_factory=_labels)
    charsets: TopCounts = field(default_factory=_labels)
    extractors: TopCounts = field(default_factory=_labels)
    pii_documents: Counter[str] = field(default_factory=Counter)
    """Documents in which a kind was replaced at least once."""
    pii_any: int = 0
    signals: dict[str, Distribution] = field(default_factory=dict)
    """Of the signals that the recipe's rules read."""
    first_date: str = ""
    last_date: str = ""

    def add_dates(self, first: str, last: str) -> None:
        """Widen the span of dates; empty ones say nothing."""
        self.first_date = min(filter(None, (self.first_date, first)), default="")
        self.last_date = max(self.last_date, last)

    def merge(self, other: DocumentFacts) -> None:
        """Count what the other counted."""
        for name in ("count", "total_words", "total_characters", "pii_any"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _DOCUMENT_SUMMARIES:
            getattr(self, name).merge(getattr(other, name))
        self.pii_documents.update(other.pii_documents)
        for name, values in other.signals.items():
            self.signals.setdefault(name, Distribution()).merge(values)
        self.add_dates(other.first_date, other.last_date)

    def state(self) -> dict[str, Any]:
        """Of JSON types, for `restored`."""
        plain = ("count", "total_words", "total_characters", "pii_any", "first_date", "last_date")
        return {
            **{name: getattr(self, name) for name in plain},
            **{name: getattr(self, name).state() for name in _DOCUMENT_SUMMARIES},
            "pii_documents": dict(self.pii_documents),
            "signals": {name: values.state() for name, values in self.signals.items()},
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> DocumentFacts:
        """The facts that a state is of."""
        signals = {name: Distribution.restored(s) for name, s in state["signals"].items()}
        summaries: dict[str, Any] = {
            **{name: Distribution.restored(state[name]) for name in ("words", "characters")},
            "hosts": TopCounts.restored(state["hosts"], HOSTS_HELD),
            **{
                name: TopCounts.restored(state[name], LABELS_HELD)
                for name in ("sources", "charsets", "extractors")
            },
        }
        counter = Counter(state["pii_documents"])
        return cls(**{**state, **summaries, "pii_documents": counter, "signals": signals})


_DOCUMENT_SUMMARIES = ("words", "characters", "hosts", "sources", "charsets", "extractors")


@dataclass
class RejectedFacts:
    """The rejected documents."""

    hosts: TopCounts = field(default_factory=_hosts)
    values: defaultdict[str, Distribution] = field(
        default_factory=lambda: defaultdict(Distribution)
    )
    """Rule -> the measured values that broke it."""

    def merge(self, other: RejectedFacts) -> None:
        """Count what the other counted."""
        self.hosts.merge(other.hosts)
        for rule, values in other.values.items():
            self.values[rule].merge(values)

    def state(self) -> dict[str, Any]:
        """Of JSON types, for `restored`."""
        values = {rule: values.state() for rule, values in self.values.items()}
        return {"hosts": self.hosts.state(), "values": values}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> RejectedFacts:
        """The facts that a state is of."""
        facts = cls(hosts=TopCounts.restored(state["hosts"], HOSTS_HELD))
        facts.values.update({r: Distribution.restored(s) for r, s in state["values"].items()})
        return facts


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

    def merge(self, other: ClusterFacts) -> None:
        """Count what the other counted."""
        self.sizes.update(other.sizes)
        self.dropped.update(other.dropped)

    def state(self) -> dict[str, Any]:
        """Of JSON types, for `restored`."""
        return {"sizes": sorted(self.sizes.items()), "dropped": dict(self.dropped)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> ClusterFacts:
        """The facts that a state is of."""
        sizes = Counter(dict(state["sizes"]))
        return cls(sizes, Counter(state["dropped"]))


@dataclass
class RowFacts:
    """All that is counted over the rows of a run, or of a part of it."""

    documents: DocumentFacts = field(default_factory=DocumentFacts)
    rejected: RejectedFacts = field(default_factory=RejectedFacts)
    clusters: ClusterFacts = field(default_factory=ClusterFacts)
    languages: defaultdict[str, LanguageTotals] = field(
        default_factory=lambda: defaultdict(LanguageTotals)
    )
    kept_samples: Picker = field(default_factory=lambda: Picker(SAMPLES_KEPT))
    rejected_samples: Picker = field(default_factory=lambda: Picker(SAMPLES_PER_RULE))
    error_samples: Picker = field(default_factory=lambda: Picker(ERRORS_PER_KIND))

    def merge(self, other: RowFacts) -> None:
        """Count what the other counted."""
        for name in ("documents", "rejected", "clusters"):
            getattr(self, name).merge(getattr(other, name))
        for name in _SAMPLES:
            getattr(self, name).merge(getattr(other, name))
        for language, totals in other.languages.items():
            self.languages[language].merge(totals)

    def to_json(self) -> bytes:
        """As written by a worker, for `from_json`."""
        state = {
            **{n: getattr(self, n).state() for n in ("documents", "rejected", "clusters")},
            **{name: getattr(self, name).state() for name in _SAMPLES},
            "languages": {name: asdict(totals) for name, totals in self.languages.items()},
        }
        return json.dumps(state).encode()

    @classmethod
    def from_json(cls, data: bytes, workspace: Workspace) -> RowFacts:
        """The facts that were written; samples are those of the run in `workspace`."""
        state = json.loads(data)
        pickers: dict[str, Any] = {
            name: Picker.restored(state[name], size, workspace.path(folder))
            for name, (folder, size) in _SAMPLES.items()
        }
        facts = cls(
            DocumentFacts.restored(state["documents"]),
            RejectedFacts.restored(state["rejected"]),
            ClusterFacts.restored(state["clusters"]),
            **pickers,
        )
        for name, totals in state["languages"].items():
            facts.languages[name] = LanguageTotals(**totals)
        return facts


_SAMPLES = {
    "kept_samples": ("documents", SAMPLES_KEPT),
    "rejected_samples": ("rejected", SAMPLES_PER_RULE),
    "error_samples": ("errors", ERRORS_PER_KIND),
}
"""Picker -> folder of its rows, and how many of a group it keeps."""
