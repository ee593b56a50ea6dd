"""The numbers to see first."""

from __future__ import annotations

from pipelines.report import formats
from pipelines.report.blocks import Section, Tile, Tiles
from pipelines.report.gather import RunFacts


def overview(facts: RunFacts) -> Section:
    """Documents, tokens, time, memory."""
    record = facts.record
    tokens = sum(split.tokens for split in record.shards)
    input_bytes = sum(file.size for file in record.inputs)
    errors = sum(phase.errors for phase in record.phases)
    rejected = sum(phase.rejected for phase in record.phases)
    rules = formats.things(len(record.rules), "rule")
    ms_per_page = 1000 * sum(record.cpu_seconds_by_step.values()) / max(facts.records_in, 1)
    tiles = [
        Tile(
            "records read",
            formats.count(facts.records_in),
            f"{formats.things(len(record.inputs), 'file')}, {formats.size(input_bytes)}",
        ),
        Tile(
            "documents kept",
            formats.count(facts.kept),
            f"{formats.percent(facts.kept, facts.records_in)} of records",
        ),
        Tile(
            "rejected",
            formats.count(rejected),
            f"{formats.percent(rejected, facts.records_in)} by {rules}",
        ),
        Tile("errors", formats.count(errors), f"of {formats.things(len(record.errors), 'kind')}"),
        Tile(
            "tokens",
            formats.short(tokens),
            f"in {formats.things(sum(split.shards for split in record.shards), 'shard')}",
        ),
        Tile(
            "wall time", formats.duration(record.seconds), f"{record.pages_per_second:,.1f} pages/s"
        ),
        Tile(
            "CPU time",
            formats.duration(record.cpu_seconds),
            f"{formats.number(round(ms_per_page, 1))} ms a record",
        ),
        Tile("peak memory", formats.size(record.peak_memory_bytes), "all processes together"),
    ]
    lead = " ".join(facts.recipe.description.split())
    return Section("overview", "The run at a glance", lead, [Tiles(tiles)])
