"""The token shards."""

from __future__ import annotations

from pipelines.report import formats
from pipelines.report.blocks import Block, Column, Facts, Figure, Section, Table
from pipelines.report.gather import RunFacts
from pipelines.report.sections.documents import length_chart

SHARDS_SHOWN = 40


def shards(facts: RunFacts) -> Section:
    """Splits, shards, the tokenizer."""
    manifest = facts.manifest
    title = "Shards"
    if manifest is None:
        return Section("shards", title, "No document was kept, so there are no shards.", [])
    splits = [
        [s.split, formats.count(s.shards), formats.count(s.docs), formats.count(s.tokens)]
        for s in facts.record.shards
    ]
    numbers = [Column("shards", True), Column("documents", True), Column("tokens", True)]
    rows = [
        [e.path, e.split, formats.count(e.docs), formats.count(e.tokens), e.sha256.bin[:12]]
        for e in manifest.shards[:SHARDS_SHOWN]
    ]
    columns = [
        Column("shard"),
        Column("split"),
        Column("documents", True),
        Column("tokens", True),
        Column("sha256 of .bin"),
    ]
    hidden = len(manifest.shards) - SHARDS_SHOWN
    more = f"{hidden:,} more are in shards/manifest.json." if hidden > 0 else ""
    tokens = sum(s.tokens for s in facts.record.shards)
    blocks: list[Block] = [Table("Splits", [Column("split"), *numbers], splits)]
    if facts.tokens.count:
        blocks.append(Figure(length_chart("tokens", "Tokens a document", facts.tokens)))
    blocks += [
        Table(f"All shards ({len(manifest.shards):,})", columns, rows, more, folded=True),
        Facts(
            [
                ("tokenizer", f"{manifest.tokenizer.file}, {manifest.vocab_size:,} pieces"),
                ("tokenizer sha256", manifest.tokenizer.sha256),
                ("characters a token", _ratio(facts.documents.total_characters, tokens)),
                ("stored as", f"{manifest.dtype}, documents end in token {manifest.eos_id}"),
                ("fingerprint", manifest.fingerprint),
            ]
        ),
    ]
    lead = f"{tokens:,} tokens, shuffled by hashed id, in Megatron indexed-dataset files."
    return Section("shards", title, lead, blocks)


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "–"
