"""The kept documents: languages, lengths, hosts."""

from __future__ import annotations

from pipelines.report import axes, formats, svg
from pipelines.report.blocks import Block, Column, Figure, Note, Section, Table
from pipelines.report.distribution import Distribution, TopCounts
from pipelines.report.facts import HOSTS_HELD
from pipelines.report.gather import RunFacts
from pipelines.report.untrusted import shorten

LANGUAGE_BARS = 15
LANGUAGE_ROWS = 60
HOST_ROWS = 20
BINS_PER_DECADE = 8
QUANTILES = (0.05, 0.5, 0.95)
NO_LANGUAGE = "not identified"
"""Documents that were rejected before their language was looked at."""


def languages(facts: RunFacts) -> Section | None:
    """Documents, words and tokens a language."""
    ranked = sorted(
        facts.languages.items(), key=lambda item: (-item[1].documents, -item[1].rejected, item[0])
    )
    if not ranked:
        return None
    kept = [(name, totals) for name, totals in ranked if totals.documents]
    bars = [
        svg.Bar(
            name or NO_LANGUAGE,
            totals.documents,
            f"{formats.count(totals.documents)} · {formats.percent(totals.documents, facts.kept)}",
        )
        for name, totals in kept[:LANGUAGE_BARS]
    ]
    rows = [
        [
            name or NO_LANGUAGE,
            formats.count(totals.documents),
            formats.percent(totals.documents, facts.kept),
            formats.count(totals.words),
            formats.count(totals.tokens),
            formats.count(totals.rejected),
        ]
        for name, totals in ranked[:LANGUAGE_ROWS]
    ]
    columns = [
        Column("language"),
        Column("documents", True),
        Column("share", True),
        Column("words", True),
        Column("tokens", True),
        Column("rejected", True),
    ]
    hidden = len(ranked) - LANGUAGE_ROWS
    more = f"{hidden} more languages are not shown." if hidden > 0 else ""
    blocks: list[Block] = []
    if bars:
        chart = svg.bars("languages", "Kept documents by language", bars, label_width=130)
        blocks.append(Figure(chart))
    blocks.append(Table("Languages in numbers", columns, rows, more, folded=True))
    lead = f"Kept documents are in {len(kept)} languages, as the identifier labels them."
    return Section("languages", "Languages", lead, blocks)


def lengths(facts: RunFacts) -> Section | None:
    """How long the kept documents are."""
    documents = facts.documents
    if not documents.count:
        return None
    rows = []
    for name, distribution, total in (
        ("words", documents.words, documents.total_words),
        ("characters", documents.characters, documents.total_characters),
        ("tokens", facts.tokens, sum(totals.tokens for totals in facts.languages.values())),
    ):
        if distribution.count:
            spread = distribution.quantiles((0.0, *QUANTILES, 1.0))
            mean = total / distribution.count
            rows.append([name, *map(formats.number, [*spread, round(mean, 1)]), f"{total:,}"])
    columns = [Column("a document has")]
    names = ("least", "5%", "median", "95%", "most", "mean", "total")
    columns += [Column(name, True) for name in names]
    chart = length_chart("words", "Words a document", documents.words)
    blocks: list[Block] = [Figure(chart), Table("Lengths of kept documents", columns, rows)]
    return Section("lengths", "Document lengths", "Bins are equal steps of the logarithm.", blocks)


def length_chart(name: str, title: str, distribution: Distribution) -> svg.Markup:
    """A histogram on a logarithmic axis with the quantiles marked."""
    least, most = distribution.quantiles((0.0, 1.0))
    axis = axes.logarithmic(max(least, 1.0), max(most, 1.0), BINS_PER_DECADE)
    markers = [
        svg.Marker(axes.place(value, axis), f"{label} {formats.number(value)}")
        for label, value in zip(
            ("5%", "median", "95%"), distribution.quantiles(QUANTILES), strict=True
        )
    ]
    counts = distribution.histogram(axes.array(axis))
    return svg.histogram(name, title, counts, axis, markers, title.lower())


def hosts(facts: RunFacts) -> Section | None:
    """The hosts with most documents, kept and rejected."""
    kept, rejected = facts.documents.hosts, facts.rejected.hosts
    if not kept.names and not rejected.names:
        return None
    blocks: list[Block] = []
    if kept.names:
        bars = [
            svg.Bar(host or "(none)", n, f"{formats.count(n)} · {formats.percent(n, facts.kept)}")
            for host, n in kept.top(HOST_ROWS)
        ]
        blocks.append(Figure(svg.bars("hosts", "Hosts with most kept documents", bars)))
    whole = sum(facts.record.rules.values())
    if rejected.names:
        rows = [
            [shorten(host, 80), formats.count(n), formats.percent(n, whole)]
            for host, n in rejected.top(HOST_ROWS)
        ]
        columns = [Column("host"), Column("rejected", True), Column("of rejections", True)]
        blocks.append(Table("Hosts with most rejected documents", columns, rows, folded=True))
    for note in (_bound(kept, "kept"), _bound(rejected, "rejected")):
        if note:
            blocks.append(Note(note))
    several = "" if kept.missed else f" from {kept.names:,} hosts"
    lead = f"{facts.kept:,} kept documents came{several}."
    return Section("hosts", "Hosts", lead if several else "", blocks)


def _bound(hosts: TopCounts, kind: str) -> str:
    if not hosts.missed:
        return ""
    return (
        f"There are more than {HOSTS_HELD:,} hosts of {kind} documents: each count may be too low "
        f"by up to {hosts.missed:,}."
    )
