"""What was turned down, by which rule, and how far from its threshold."""

from __future__ import annotations

from pipelines.report import axes, formats, svg
from pipelines.report.blocks import Block, Column, Figure, Panel, Panels, Section, Table
from pipelines.report.distribution import Distribution
from pipelines.report.gather import RunFacts
from pipelines.report.untrusted import shorten
from pipelines.report.wording import condition, thresholds
from schemas.recipe import Rule

RULES_SHOWN = 24
ERRORS_SHOWN = 40
PANEL_BINS = 32
_LOGARITHMIC_SPAN = 50
"""Values that span more than this factor are drawn on a logarithmic axis, if they are counts."""
_LEGEND = (("kept", "kept"), ("rejected", "rejected by the rule"))


def rules(facts: RunFacts) -> Section:
    """Rejections by rule."""
    ranked = sorted(facts.record.rules.items(), key=lambda item: (-item[1], item[0]))
    whole = sum(facts.record.rules.values())
    lead = (
        f"{whole:,} documents were rejected. A document counts for the first rule, in the "
        "recipe's order, that it broke."
    )
    if not ranked:
        return Section("rules", "Rejections by rule", "No document was rejected.", [])
    bars = [
        svg.Bar(rule, n, f"{formats.count(n)} · {formats.percent(n, whole)}", "rejected")
        for rule, n in ranked[:RULES_SHOWN]
    ]
    conditions = {s.rule: condition(s) for s in facts.recipe.quality if isinstance(s, Rule)}
    rows = [
        [
            rule,
            conditions.get(rule, ""),
            formats.count(n),
            formats.percent(n, whole),
            formats.percent(n, facts.records_in),
        ]
        for rule, n in ranked
    ]
    columns = [
        Column("rule"),
        Column("keeps while"),
        Column("rejected", True),
        Column("of rejections", True),
        Column("of records", True),
    ]
    chart = svg.bars("rules", "Documents rejected by each rule", bars)
    more = len(ranked) - RULES_SHOWN
    blocks: list[Block] = [
        Figure(chart, f"{more} more rules in the table." if more > 0 else ""),
        Table(f"All rules ({len(rows)})", columns, rows, folded=True),
    ]
    return Section("rules", "Rejections by rule", lead, blocks)


def measured(facts: RunFacts) -> Section | None:
    """Values of each rule's signal, kept and rejected, around its threshold."""
    active: list[Panel] = []
    idle: list[Panel] = []
    for index, step in enumerate(facts.recipe.quality):
        if isinstance(step, Rule):
            gone = facts.rejected.values.get(step.rule, Distribution())
            kept = facts.documents.signals[step.signal]
            panel = _panel(f"rule-{index}", step, kept, gone)
            if panel is not None:
                (active if gone.count else idle).append(panel)
    if not active and not idle:
        return None
    lead = (
        "Above the line the documents that were kept, below it those that the rule rejected, each "
        "scaled to its own peak; the marks are the thresholds. Values beyond the axis are in "
        "the outermost columns."
    )
    blocks: list[Block] = []
    if active:
        blocks.append(Panels("Rules that rejected documents", active, _LEGEND))
    if idle:
        title = f"Rules that rejected nothing ({len(idle)})"
        blocks.append(Panels(title, idle, _LEGEND, folded=True))
    return Section("signals", "Signals and thresholds", lead, blocks)


def _panel(name: str, rule: Rule, kept: Distribution, gone: Distribution) -> Panel | None:
    if not kept.count and not gone.count:
        return None
    bounds = thresholds(rule)
    axis = _axis([d for d in (kept, gone) if d.count], bounds)
    title = f"{rule.signal}: kept and rejected by {rule.rule}"
    markers = [svg.Marker(axes.place(b, axis), formats.number(b)) for b in bounds]
    edges = axes.array(axis)
    chart = svg.mirror(name, title, kept.histogram(edges), gone.histogram(edges), axis, markers)
    notes = [f"{gone.count:,} rejected", condition(rule)]
    if rule.languages:
        notes.append("drawn with kept documents of all languages")
    return Panel(rule.rule, notes, chart)


def _axis(distributions: list[Distribution], bounds: list[float]) -> svg.Axis:
    spread = [q for d in distributions for q in d.quantiles((0.01, 0.5, 0.99))]
    points = [*spread, *bounds]
    low, high = min(points), max(points)
    positive = [p for p in points if p > 0]
    counts = high > 1.5 and low >= 0
    if counts and positive and high / min(positive) > _LOGARITHMIC_SPAN:
        return axes.logarithmic(max(min(positive), high / 1e6), high, 8)
    margin = 0.04 * (high - low) or 0.5
    lower = low - margin if low < 0 else max(low - margin, 0)
    return axes.linear(lower, high + margin, PANEL_BINS)


def errors(facts: RunFacts) -> Section:
    """Errors by kind, with places to look at."""
    ranked = sorted(facts.record.errors.items(), key=lambda item: (-item[1], item[0]))
    if not ranked:
        return Section("errors", "Errors", "Every record could be read and judged.", [])
    whole = sum(facts.record.errors.values())
    bars = [
        svg.Bar(kind, n, f"{formats.count(n)} · {formats.percent(n, whole)}", "error")
        for kind, n in ranked[:ERRORS_SHOWN]
    ]
    rows = [
        [
            kind,
            shorten(sample["file"] or "", 80),
            formats.count(sample["offset"] or 0),
            formats.count(sample["length"] or 0),
            " · ".join(shorten(sample[name], 160) for name in ("detail", "url") if sample[name]),
        ]
        for kind, _ in ranked[:ERRORS_SHOWN]
        for sample in facts.error_samples.get(kind, [])
    ]
    columns = [
        Column("error"),
        Column("file"),
        Column("offset", True),
        Column("bytes", True),
        Column("detail"),
    ]
    blocks: list[Block] = [
        Figure(svg.bars("errors", "Errors by kind", bars)),
        Table("Some errors of each kind", columns, rows, "All of them are in errors/.", True),
    ]
    lead = (
        f"{whole:,} records or spans of a file could not be read or judged "
        f"({formats.percent(whole, facts.records_in)} of records)."
    )
    return Section("errors", "Errors", lead, blocks)
