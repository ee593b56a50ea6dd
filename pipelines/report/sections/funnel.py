"""What went in, what each step took out, what is left; and how others fared."""

from __future__ import annotations

from pipelines.report import formats, published, svg
from pipelines.report.blocks import Block, Column, Figure, Section, Table
from pipelines.report.gather import RunFacts
from pipelines.report.wording import meaning

LEGEND = (("kept", "left"), ("rejected", "rejected"), ("error", "errors"))


def funnel(facts: RunFacts) -> Section | None:
    """The picture, its numbers and the comparison."""
    steps = facts.record.funnel
    if not steps:
        return None
    rows = [svg.FunnelRow(s.step, s.kept, s.rejected, s.errors) for s in steps]
    blocks: list[Block] = [
        Figure(svg.funnel("funnel", "Documents left after each step", rows), legend=LEGEND),
        _table(facts),
        _comparison(facts),
    ]
    lead = (
        f"Of {facts.records_in:,} records, {facts.kept:,} became documents. Every record ends as "
        "kept, rejected by one rule, or an error; the counts reconcile at each step."
    )
    return Section("funnel", "Funnel", lead, blocks)


def _table(facts: RunFacts) -> Table:
    rows, before = [], facts.records_in
    for step in facts.record.funnel:
        rows.append(
            [
                step.step,
                meaning(step.step),
                formats.count(step.rejected),
                formats.count(step.errors),
                formats.count(step.kept),
                formats.percent(step.kept, before),
                formats.percent(step.kept, facts.records_in),
            ]
        )
        before = step.kept
    columns = [
        Column("step"),
        Column("looks at"),
        Column("rejected", True),
        Column("errors", True),
        Column("left", True),
        Column("of the step before", True),
        Column("of all", True),
    ]
    return Table("The funnel in numbers", columns, rows, folded=True)


def _comparison(facts: RunFacts) -> Table:
    rows = [
        [
            row.name,
            "–" if row.kept is None else formats.percent(row.kept, facts.records_in),
            _published(row.refinedweb),
            _published(row.dclm),
        ]
        for row in published.compare(facts.record)
    ]
    columns = [
        Column("left"),
        Column("this run", True),
        Column("RefinedWeb", True),
        Column("DCLM", True),
    ]
    return Table("Beside published retention", columns, rows, published.CAVEAT)


def _published(value: float | None) -> str:
    return "–" if value is None else formats.share(value)
