"""Personal data that was replaced."""

from __future__ import annotations

from pipelines.report import formats, svg
from pipelines.report.blocks import Column, Figure, Section, Table
from pipelines.report.gather import RunFacts


def personal_data(facts: RunFacts) -> Section:
    """Counts by kind and documents touched."""
    counts = facts.record.pii
    title = "Personal data"
    if not counts:
        return Section("personal-data", title, "The recipe replaces no personal data.", [])
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    touched = facts.documents.pii_documents
    bars = [svg.Bar(_words(kind), n, formats.count(n)) for kind, n in ranked]
    rows = [
        [
            _words(kind),
            formats.count(n),
            formats.count(touched[kind]),
            formats.percent(touched[kind], facts.kept),
        ]
        for kind, n in ranked
    ]
    columns = [
        Column("kind"),
        Column("replaced", True),
        Column("documents", True),
        Column("of documents", True),
    ]
    lead = (
        f"{sum(counts.values()):,} finds were replaced in {facts.documents.pii_any:,} documents "
        f"({formats.percent(facts.documents.pii_any, facts.kept)}). Patterns and checksums find "
        "what is written in a usual way; they miss the rest."
    )
    chart = svg.bars("pii", "Personal data replaced, by kind", bars, label_width=130)
    table = Table("Personal data replaced", columns, rows)
    return Section("personal-data", title, lead, [Figure(chart), table])


def _words(kind: str) -> str:
    return kind.replace("_", " ")
