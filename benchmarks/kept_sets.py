"""What became of each page in datatrove and in corpusmill, and where they differ."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from schemas.page import Page
from schemas.recipe import PageGate
from stages.page import check_page, effective_mime
from stages.warc import plan_segments, read_segment

KEPT = "kept"
NO_TRACE = "no trace"
NO_TEXT = "extract.no_text"
"""datatrove writes nothing about a page whose extraction came out empty or hit the time limit."""
EXAMPLES = 3
SAME_TEXT = 0.999


class Fate(NamedTuple):
    """Where a page ended."""

    step: str
    """KEPT, NO_TRACE, or the step and its reason."""
    text: str = ""
    """After line cleaning, before personal data is replaced; of kept pages only."""

    @property
    def kept(self) -> bool:
        return self.step == KEPT


Fates = dict[str, Fate]
"""By WARC-Record-ID."""


class Pages(NamedTuple):
    """The HTML responses of the input."""

    urls: dict[str, str]
    """WARC-Record-ID -> URL."""
    ids: dict[tuple[str, int], str]
    """(file, offset) of any record with a page -> WARC-Record-ID."""


def read_pages(paths: list[Path]) -> Pages:
    """Response records with HTML, whatever their status; corpusmill's reader finds them."""
    urls: dict[str, str] = {}
    ids: dict[tuple[str, int], str] = {}
    for path in paths:
        size = path.stat().st_size
        with path.open("rb") as handle:
            for segment in plan_segments(str(path), size, size):
                for event in read_segment(handle, segment):
                    if isinstance(event, Page):
                        ids[event.warc_file, event.warc_offset] = event.record_id
                        if event.record_type == "response" and is_html(event):
                            urls[event.record_id] = event.url
    return Pages(urls, ids)


def is_html(page: Page) -> bool:
    """A body that one of the recipe's media types claims, of any size and HTTP status."""
    gate = PageGate(max_body_bytes=1 << 40)
    return check_page(page._replace(http_status=0), effective_mime(page), gate) is None


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.jsonl*")):
        content = path.read_bytes()
        lines = gzip.decompress(content) if path.suffix == ".gz" else content
        yield from map(json.loads, lines.splitlines())


def datatrove_fates(output: Path, pages: Pages) -> tuple[Fates, Fates]:
    """After the base filters, and after everything."""
    fates = dict.fromkeys(pages.urls, Fate(NO_TRACE))
    fates |= {row["id"]: Fate(NO_TEXT) for row in _rows(output / "trace" / "read")}
    for folder in sorted((output / "removed").iterdir()):
        for row in _rows(folder):
            data = row["metadata"]
            reason = data["language"] if folder.name == "language" else data.get("filter_reason")
            if folder.name != "minhash":
                fates[row["id"]] = Fate(f"{folder.name}.{reason}")
    fates |= {row["id"]: Fate(KEPT, row["text"]) for row in _rows(output / "base")}
    duplicates = {row["id"]: Fate("minhash") for row in _rows(output / "removed" / "minhash")}
    return fates, fates | duplicates


def _table_rows(folder: Path, pattern: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(pattern)):
        yield from pq.read_table(path).to_pylist()


def corpusmill_fates(output: Path, pages: Pages) -> tuple[Fates, Fates]:
    """After phase 1, and after everything."""
    extracted = output / ".work" / "extract"

    def id_of(row: dict[str, Any]) -> str:
        return pages.ids[row["warc_file"], row["warc_offset"]]

    fates = dict.fromkeys(pages.urls, Fate(NO_TRACE))
    for row in _table_rows(extracted, "*.documents.parquet"):
        fates[id_of(row)] = Fate(KEPT, row["text"])
    for row in _table_rows(extracted, "*.rejected.parquet"):
        language = f" {row['language']}" if row["stage"] == "language" else ""
        fates[id_of(row)] = Fate(f"{row['stage']}: {row['rule']}{language}")
    for row in _table_rows(extracted, "*.errors.parquet"):
        if (row["file"], row["offset"]) in pages.ids:
            fates[pages.ids[row["file"], row["offset"]]] = Fate(
                f"error: {row['stage']}.{row['error']}"
            )
    final = {identifier: fate for identifier, fate in fates.items() if not fate.kept}
    for row in _table_rows(output / "rejected", "*.parquet"):
        if row["stage"] == "dedup":
            final[id_of(row)] = Fate(row["rule"])
    for row in _table_rows(output / "documents", "*.parquet"):
        final[id_of(row)] = fates[id_of(row)]
    return fates, final


def corpusmill_clusters(output: Path, pages: Pages) -> dict[str, str]:
    """Page -> its cluster of duplicates; pages of their own are left out."""
    return {
        pages.ids[row["warc_file"], row["warc_offset"]]: row["cluster_id"]
        for row in _table_rows(output / "clusters", "*.parquet")
        if row["cluster_size"] > 1
    }


class Difference(NamedTuple):
    datatrove: str
    corpusmill: str
    pages: int
    urls: list[str]


class Comparison(NamedTuple):
    """Two kept sets over the same pages."""

    pages: int
    """Pages that both read: each has a trace in both, and is no error in ours."""
    datatrove: int
    """Kept by datatrove, of those pages."""
    corpusmill: int
    both: int
    jaccard: float
    differences: list[Difference]


def compare(
    theirs: Fates, ours: Fates, pages: Pages, clusters: dict[str, str] | None = None
) -> Comparison:
    """Kept sets on the pages that both read; the differences, most frequent first.

    With `clusters`, the copies of a cluster count as one: which of them was kept is no difference.
    """
    group = (clusters or {}).get
    read = [page for page in pages.urls if was_read(theirs[page]) and was_read(ours[page])]
    kept_theirs = {group(page, page) for page in read if theirs[page].kept}
    kept_ours = {group(page, page) for page in read if ours[page].kept}
    one_side = kept_theirs ^ kept_ours
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for page in read:
        if theirs[page].kept != ours[page].kept and group(page, page) in one_side:
            found[theirs[page].step, ours[page].step].append(pages.urls[page])
    either = len(kept_theirs | kept_ours)
    return Comparison(
        pages=len(read),
        datatrove=len(kept_theirs),
        corpusmill=len(kept_ours),
        both=len(kept_theirs & kept_ours),
        jaccard=len(kept_theirs & kept_ours) / either if either else 1.0,
        differences=[
            Difference(*steps, len(urls), sorted(urls)[:EXAMPLES])
            for steps, urls in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
        ],
    )


def was_read(fate: Fate) -> bool:
    return fate.step != NO_TRACE and not fate.step.startswith("error")


def lost(theirs: Fates, ours: Fates, pages: Pages) -> list[Difference]:
    """Pages without a trace in datatrove, by what corpusmill made of them."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for page, url in pages.urls.items():
        if not was_read(theirs[page]):
            found[ours[page].step].append(url)
    return [
        Difference(NO_TRACE, step, len(urls), sorted(urls)[:EXAMPLES])
        for step, urls in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


class Texts(NamedTuple):
    """Texts of the pages that both keep, after line cleaning."""

    pages: int
    identical: int
    nearly: int
    """Not identical, but with a word Jaccard above SAME_TEXT."""
    mean_word_jaccard: float
    worst: list[tuple[float, str]]
    """Lowest word Jaccards with their URLs."""


def word_jaccard(left: str, right: str) -> float:
    """Over words between white space, each as often as it occurs."""
    first, second = Counter(left.split()), Counter(right.split())
    union = (first | second).total()
    return (first & second).total() / union if union else 1.0


def compare_texts(theirs: Fates, ours: Fates, pages: Pages) -> Texts:
    """Both sides hold the text from before PII replacement."""
    rows = []
    identical = 0
    for page, url in pages.urls.items():
        left, right = theirs[page], ours[page]
        if left.kept and right.kept:
            identical += left.text == right.text
            rows.append((word_jaccard(left.text, right.text), url))
    similar = sum(value > SAME_TEXT for value, _ in rows)
    return Texts(
        pages=len(rows),
        identical=identical,
        nearly=max(0, similar - identical),
        mean_word_jaccard=sum(value for value, _ in rows) / len(rows) if rows else 1.0,
        worst=sorted(rows)[:EXAMPLES],
    )
