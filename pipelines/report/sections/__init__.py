"""The sections of report.html in their order: a new one is a file here and a line in SECTIONS."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.report.blocks import Section
from pipelines.report.gather import RunFacts
from pipelines.report.sections import (
    cost,
    documents,
    duplicates,
    excerpts,
    funnel,
    overview,
    personal,
    provenance,
    removals,
    shards,
    training,
)

SectionBuilder = Callable[[RunFacts], Section | None]
"""None where a run has nothing to say on the matter."""

SECTIONS: tuple[SectionBuilder, ...] = (
    overview.overview,
    funnel.funnel,
    removals.rules,
    removals.measured,
    removals.errors,
    documents.languages,
    documents.lengths,
    documents.hosts,
    duplicates.duplicates,
    personal.personal_data,
    cost.cost,
    shards.shards,
    training.training,
    training.finetuning,
    excerpts.kept,
    excerpts.rejected,
    provenance.provenance,
)


def build_sections(facts: RunFacts) -> list[Section]:
    """Every section that has something to say."""
    built = (section(facts) for section in SECTIONS)
    return [section for section in built if section is not None]
