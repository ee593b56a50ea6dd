"""Groups of duplicates: how many, how large, found by what."""

from __future__ import annotations

from collections import Counter

from pipelines.report import formats, svg
from pipelines.report.blocks import Block, Column, Facts, Figure, Section, Table
from pipelines.report.gather import RunFacts
from pipelines.report.wording import dedup_settings
from stages.dedup import curve

_SIZE_STARTS = (2, 3, 4, 5, 10, 20, 50, 100, 1000)
_CURVE_POINTS = 101


def duplicates(facts: RunFacts) -> Section:
    """Cluster sizes, methods, and what the settings can find."""
    clusters = facts.clusters
    dropped = sum(clusters.dropped.values())
    blocks: list[Block] = []
    if clusters.count:
        sizes = _binned(clusters.sizes)
        bars = [
            svg.Bar(
                f"{label} documents",
                n,
                f"{formats.count(n)} · {formats.percent(n, clusters.count)}",
            )
            for label, n in sizes
        ]
        blocks.append(Figure(svg.bars("clusters", "Groups by size", bars, 190), "Groups by size."))
        rows = [
            [method, formats.count(n), formats.percent(n, dropped)]
            for method, n in sorted(clusters.dropped.items(), key=lambda item: (-item[1], item[0]))
        ]
        columns = [Column("found by"), Column("dropped", True), Column("share", True)]
        blocks.append(Table("Dropped duplicates by method", columns, rows))
    blocks.append(Facts(dedup_settings(facts.recipe.dedup)))
    minhash = facts.recipe.dedup.minhash
    if minhash is not None:
        points = [
            (
                j / (_CURVE_POINTS - 1),
                curve.candidate_probability(j / 100, minhash.bands, minhash.rows),
            )
            for j in range(_CURVE_POINTS)
        ]
        title = f"Chance that {minhash.bands} bands of {minhash.rows} rows find a pair"
        note = f"{title}, by the Jaccard similarity of the pair."
        blocks.append(Figure(svg.curve("s-curve", title, points, curve.GUARD_JACCARD), note))
    biggest = max(clusters.sizes, default=0)
    lead = (
        f"{dropped:,} documents were dropped because another of their group stays; "
        f"{clusters.count:,} groups have more than one document"
        + (f", the largest {biggest:,}." if biggest else ".")
    )
    return Section("duplicates", "Duplicates", lead, blocks)


def _binned(sizes: Counter[int]) -> list[tuple[str, int]]:
    rows = []
    ends = [*(start - 1 for start in _SIZE_STARTS[1:]), None]
    for start, end in zip(_SIZE_STARTS, ends, strict=True):
        n = sum(c for s, c in sizes.items() if s >= start and (end is None or s <= end))
        label = f"{start:,}+" if end is None else str(start) if start == end else f"{start}–{end}"
        rows.append((label, n))
    while rows and not rows[-1][1]:
        rows.pop()
    return rows
