"""Where the run came from: recipe, inputs, software, machine."""

from __future__ import annotations

from pipelines.report import formats
from pipelines.report.blocks import Block, Column, Facts, Section, Table
from pipelines.report.gather import RunFacts
from pipelines.report.untrusted import shorten
from pipelines.report.wording import condition, intake_settings
from schemas.recipe import Rule

INPUTS_SHOWN = 40


def provenance(facts: RunFacts) -> Section:
    """Enough to make the run again."""
    record, documents = facts.record, facts.documents
    pairs = [
        ("recipe", f"{facts.recipe.name}, version {facts.recipe.version}"),
        ("recipe hash", record.recipe_hash),
        ("corpusmill", record.corpusmill_version),
        ("limit", "none" if record.limit is None else f"{record.limit:,} pages"),
        ("crawled", f"{documents.first_date} to {documents.last_date}"),
        ("read from", _listed(documents.sources.top(8))),
        ("character sets", _listed(documents.charsets.top(8))),
        ("extractors", _listed(documents.extractors.top(8))),
        ("records without a page", _listed(list(record.records.items())[:12])),
    ]
    pairs += intake_settings(facts.recipe)
    pairs += [(str(name), str(value)) for name, value in record.environment.items()]
    shown = [(name, value) for name, value in pairs if value not in ("", " to ")]
    blocks: list[Block] = [Facts(shown), _recipe(facts), _inputs(facts), _versions(facts)]
    return Section("provenance", "Provenance", "Enough to make the run again.", blocks)


def _listed(counts: list[tuple[str, int]]) -> str:
    return ", ".join(f"{shorten(name, 60) or 'unknown'} {n:,}" for name, n in counts)


def _recipe(facts: RunFacts) -> Table:
    rows = []
    for step in facts.recipe.quality:
        if isinstance(step, Rule):
            rows.append([step.rule, f"{condition(step)}", str(step.version), step.source])
        else:
            options = ", ".join(f"{k}={v}" for k, v in step.options.items())
            rows.append([step.edit, f"edits the text {options}".strip(), "", step.source])
    columns = [Column("rule"), Column("keeps while"), Column("version", True), Column("source")]
    return Table(f"Quality rules of the recipe ({len(rows)})", columns, rows, folded=True)


def _inputs(facts: RunFacts) -> Table:
    files = facts.record.inputs
    rows = [[shorten(f.path, 160), formats.size(f.size)] for f in files[:INPUTS_SHOWN]]
    hidden = len(files) - INPUTS_SHOWN
    more = f"{hidden:,} more files are in run.json." if hidden > 0 else ""
    columns = [Column("file"), Column("size", True)]
    return Table(f"Inputs ({len(files):,})", columns, rows, more, folded=True)


def _versions(facts: RunFacts) -> Table:
    rows = [[name, version] for name, version in facts.record.versions.items()]
    columns = [Column("package"), Column("version")]
    return Table(f"Software ({len(rows)})", columns, rows, folded=True)
