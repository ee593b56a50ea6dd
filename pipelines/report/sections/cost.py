"""Where the time went."""

from __future__ import annotations

from pipelines.report import formats, svg
from pipelines.report.blocks import Block, Column, Figure, Section, Table
from pipelines.report.gather import RunFacts


def cost(facts: RunFacts) -> Section | None:
    """CPU seconds by step and phase."""
    steps = sorted(facts.record.cpu_seconds_by_step.items(), key=lambda item: (-item[1], item[0]))
    if not steps:
        return None
    whole = sum(seconds for _, seconds in steps)
    records = max(facts.records_in, 1)
    bars = [
        svg.Bar(name, seconds, f"{formats.duration(seconds)} · {1000 * seconds / records:.2f} ms")
        for name, seconds in steps
    ]
    rows = [
        [
            name,
            f"{seconds:,.2f}",
            formats.percent(seconds, whole),
            f"{1000 * seconds / records:.3f}",
        ]
        for name, seconds in steps
    ]
    columns = [
        Column("step"),
        Column("CPU seconds", True),
        Column("share", True),
        Column("ms a record", True),
    ]
    lead = (
        f"{formats.duration(whole)} of CPU in the steps, {1000 * whole / records:.1f} ms for each "
        f"of {facts.records_in:,} records read. Milliseconds are over all records, not only those "
        "that reached the step. Work that a resumed run took over counts in the steps, but not "
        "in the seconds of the phases."
    )
    chart = svg.bars("cost", "CPU time by step, and milliseconds a record", bars, 130)
    blocks: list[Block] = [
        Figure(chart),
        Table("CPU seconds in numbers", columns, rows, folded=True),
        _phases(facts),
    ]
    return Section("cost", "Cost", lead, blocks)


def _phases(facts: RunFacts) -> Table:
    rows = [
        [
            phase.name,
            formats.count(phase.in_),
            formats.count(phase.kept),
            formats.count(phase.rejected),
            formats.count(phase.errors),
            f"{phase.seconds:,.1f}",
            f"{phase.cpu_seconds:,.1f}",
        ]
        for phase in facts.record.phases
    ]
    names = ("in", "kept", "rejected", "errors", "seconds", "CPU seconds")
    columns = [Column("phase"), *(Column(name, True) for name in names)]
    return Table("Phases", columns, rows)
