"""The funnel of a run on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from schemas.run import RunRecordV1

BAR_CHARACTERS = 30


def print_run(record: RunRecordV1, output: str, console: Console) -> None:
    """What went in, what each step took out, what is left, and where it lies."""
    console.print(funnel_table(record))
    if record.annotated:
        console.print(
            "annotated run: every page with text is kept; what the recipe would decide is in "
            "verdicts/; no deduplication, no shards (corpusmill decide makes them)",
            highlight=False,
        )
    shards = ", ".join(
        f"{s.split}: {s.tokens:,} tokens of {s.docs:,} documents in {s.shards} shard(s)"
        for s in record.shards
    )
    console.print(f"shards  {shards or 'none'}", highlight=False)
    replaced = ", ".join(f"{kind} {count:,}" for kind, count in record.pii.items() if count)
    console.print(f"PII     {replaced or 'nothing'} replaced", highlight=False)
    console.print(
        f"time    {record.seconds:.1f} s, {record.cpu_seconds:.1f} CPU s, "
        f"{record.pages_per_second:.1f} pages/s, "
        f"peak memory {record.peak_memory_bytes / 1e6:,.0f} MB",
        highlight=False,
    )
    console.print(f"report  {output.rstrip('/')}/report.html", highlight=False)


def funnel_table(record: RunRecordV1) -> Table:
    """One row a step, with a bar of what is left."""
    table = Table(title=f"recipe {record.recipe['name']}", box=None, title_justify="left")
    table.add_column("step")
    for name in ("rejected", "errors", "left"):
        table.add_column(name, justify="right")
    table.add_column("")
    whole = max(record.funnel[0].kept, 1) if record.funnel else 1
    for step in record.funnel:
        bar = "█" * round(BAR_CHARACTERS * step.kept / whole)
        table.add_row(
            step.step,
            f"{step.rejected:,}" if step.rejected else "",
            f"{step.errors:,}" if step.errors else "",
            f"{step.kept:,}",
            bar,
        )
    return table
