"""The pages of data/warc_pages, read and decoded as the pipeline does."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from schemas.page import Page
from stages.charset import decode
from stages.warc import plan_segments, read_segment


class HtmlPage(NamedTuple):
    record_id: str
    url: str
    html: str


def dev_warcs(data: Path) -> list[Path]:
    """The eight shards that ground_truth.jsonl.gz describes."""
    return sorted((data / "warc_pages").glob("dev-0*.warc.gz"))


def read_pages(warc: Path) -> Iterator[HtmlPage]:
    """Every undamaged page of one file."""
    size_bytes = warc.stat().st_size
    with warc.open("rb") as handle:
        for segment in plan_segments(str(warc), size_bytes, max(size_bytes, 1)):
            for event in read_segment(handle, segment):
                if isinstance(event, Page) and not event.damage:
                    html = decode(event.body, event.content_type).text
                    yield HtmlPage(event.record_id, event.url, html)


def ground_truth(data: Path) -> dict[str, dict[str, Any]]:
    """Row by WARC-Record-ID."""
    with gzip.open(data / "warc_pages" / "ground_truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        return {row["record_id"]: row for row in map(json.loads, lines)}
