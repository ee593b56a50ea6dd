"""Retention that others have published, to set a run beside: percent of the documents of the
crawl that were left.

RefinedWeb: Penedo et al. 2023, arXiv 2306.01116, figure 2. DCLM: Li et al. 2024, arXiv
2406.11794, figure 4; what it had left after language is 100 less 0.8 (URL) less 50.8 (English).
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.run import RunRecordV1


class Milestone(NamedTuple):
    """A point of the funnel that published pipelines also report; None: not reported."""

    name: str
    after: tuple[str, ...]
    """Funnel steps of which the last that the run has says what is left."""
    refinedweb: float | None
    dclm: float | None


MILESTONES = (
    Milestone("text in a wanted language", ("url", "extract", "language"), 48.0, 48.4),
    Milestone("after quality rules", ("language", "quality"), 23.0, 19.9),
    Milestone(
        "after deduplication", ("quality", "dedup.url", "dedup.exact", "dedup.minhash"), 11.67, 13.7
    ),
    Milestone("after a quality model", (), None, 1.4),
)

CAVEAT = (
    "The published figures are shares of whole Common Crawl dumps, with English only; a sample "
    "that was chosen, other languages or fewer dumps to find duplicates in give higher shares."
)


class Compared(NamedTuple):
    """A milestone with what this run had left, None where it has no such step."""

    name: str
    kept: int | None
    refinedweb: float | None
    dclm: float | None


def compare(record: RunRecordV1) -> list[Compared]:
    """This run's counts at each milestone."""
    # An annotated run turns nothing down: it has none of the milestones.
    left = {} if record.annotated else {step.step: step.kept for step in record.funnel}
    rows = []
    for milestone in MILESTONES:
        kept = min((left[step] for step in milestone.after if step in left), default=None)
        rows.append(Compared(milestone.name, kept, milestone.refinedweb, milestone.dclm))
    return rows
