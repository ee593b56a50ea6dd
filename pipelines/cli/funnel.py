"""The funnel of a run on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.cli.terminal import visible
from schemas.run import RunRecordV1

BAR_CHARACTERS = 30
"""Of the longest bar; less on a narrow terminal."""
_SHORTEST_BAR = 4


def print_run(record: RunRecordV1, output: str, console: Console) -> None:
    """What went in, what each step took out, what is left, and where it lies."""
    console.print(funnel_table(record))
    for line in _lines(record):
        # Between words on a terminal; elsewhere lines are as long as they are.
        console.print(Text(visible(line)), soft_wrap=not console.is_terminal)
    console.print(Text(visible(f"report  {output.rstrip('/')}/report.html")))


def _lines(record: RunRecordV1) -> Iterator[str]:
    if record.annotated:
        yield (
            "annotated run: every page with text is kept; what the recipe would decide is in "
            "verdicts/; no deduplication, no shards (corpusmill decide makes them)"
        )
    shards = ", ".join(
        f"{s.split}: {s.tokens:,} tokens of {s.docs:,} documents in {s.shards} shard(s)"
        for s in record.shards
    )
    yield f"shards  {shards or 'none'}"
    replaced = ", ".join(f"{kind} {count:,}" for kind, count in record.pii.items() if count)
    yield f"PII     {replaced or 'nothing'} replaced"
    yield (
        f"time    {record.seconds:.1f} s, {record.cpu_seconds:.1f} CPU s, "
        f"{record.pages_per_second:.1f} pages/s, "
        f"peak memory {record.peak_memory_bytes / 1e6:,.0f} MB"
    )


def funnel_table(record: RunRecordV1) -> Table:
    """One row a step, with a bar of what is left."""
    title = Text(visible(f"recipe {record.recipe['name']}", one_line=True), style="table.title")
    table = Table(title=title, box=None, title_justify="left")
    table.add_column("step", no_wrap=True)
    for name in ("rejected", "errors", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", min_width=_SHORTEST_BAR, max_width=BAR_CHARACTERS)
    whole = max(record.funnel[0].kept, 1) if record.funnel else 1
    for step in record.funnel:
        table.add_row(
            step.step,
            f"{step.rejected:,}" if step.rejected else "",
            f"{step.errors:,}" if step.errors else "",
            f"{step.kept:,}",
            Bar(whole, 0, step.kept),
        )
    return table
