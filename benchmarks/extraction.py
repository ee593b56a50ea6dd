"""Extraction against ground truth: bag-of-words F1 a data set, snippets found, CPU a page.

    python -m benchmarks.extraction --data ../shared/data [--extractor NAME] [--limit N]
        [--workers 2] [--favor precision] [--fast] [--deduplicate] [--compare-tuning]

F1: words are runs of word characters (`\\w+`) in lower case; overlap counts a word as often as it
stands in both texts; F1 = 2 * overlap / (words extracted + words of the truth), averaged over
pages. On the 370 pages of the first two shards this gives the figures of data/README.md to three
digits. --compare-tuning runs plain trafilatura on each page as well, in turn, and fails unless
every text is the same.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import re
import time
from collections import Counter, defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.warc_pages import HtmlPage, dev_warcs, ground_truth, read_pages
from schemas.recipe import Extract
from stages.extract import EXTRACTORS, ExtractionError, tidy, validate_extract

WORDS = re.compile(r"\w+")
PAGES_A_TURN = 20
"""Plain and tuned trafilatura take turns at this length, so that both see the same machine."""


class Result(NamedTuple):
    record_id: str
    text: str
    seconds: float
    failed: bool


def bag_f1(extracted: str, truth: str) -> float:
    """Bag-of-words F1 in [0, 1]; two empty texts agree."""
    found, wanted = (Counter(WORDS.findall(text.lower())) for text in (extracted, truth))
    total = found.total() + wanted.total()
    return 2 * (found & wanted).total() / total if total else 1.0


def extract_file(job: tuple[Path, Extract, int]) -> list[Result]:
    warc, settings, limit = job
    extractor = EXTRACTORS[settings.name]
    results = []
    for number, page in enumerate(read_pages(warc)):
        if number == limit:
            break
        started = time.process_time()
        text, failed = "", False
        try:
            text = tidy(extractor(page.html, settings, page.url), settings)
        except ExtractionError as error:
            failed = True
            print(f"{page.record_id}: {error}")
        results.append(Result(page.record_id, text, time.process_time() - started, failed))
    return results


def snippet_rates(rows: list[dict[str, Any]], texts: dict[str, str]) -> tuple[float, float]:
    """Share of must_have snippets found and of must_not_have snippets that leaked."""
    shares = []
    for key in ("must_have", "must_not_have"):
        hits = total = 0
        for row in rows:
            text = " ".join(texts[row["record_id"]].split())
            hits += sum(" ".join(snippet.split()) in text for snippet in row[key])
            total += len(row[key])
        shares.append(hits / total if total else float("nan"))
    return shares[0], shares[1]


def print_table(results: list[Result], truth: dict[str, dict[str, Any]]) -> None:
    texts = {result.record_id: result.text for result in results}
    by_set: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record_id in texts:
        if record_id in truth:
            by_set[truth[record_id]["dataset"]].append(truth[record_id])
    by_set["all"] = [row for rows in list(by_set.values()) for row in rows]
    print(f"{'data set':18}{'pages':>6}{'with text':>10}{'F1':>7}{'must have':>11}{'leaked':>8}")
    for name, rows in by_set.items():
        full = [row for row in rows if row["main_text"]]
        scores = [bag_f1(texts[row["record_id"]], row["main_text"]) for row in full]
        f1 = fmean(scores) if scores else float("nan")
        found, leaked = snippet_rates(rows, texts)
        print(f"{name:18}{len(rows):>6}{len(full):>10}{f1:>7.3f}{found:>11.3f}{leaked:>8.3f}")
    seconds = sorted(result.seconds for result in results)
    empty = sum(not result.text for result in results)
    failed = sum(result.failed for result in results)
    print(
        f"CPU ms/page: mean {1000 * fmean(seconds):.1f}, median "
        f"{1000 * seconds[len(seconds) // 2]:.1f}, worst {1000 * seconds[-1]:.0f}; "
        f"empty {empty}, of them failed {failed}"
    )


def compare_tuning(jobs: list[tuple[Path, Extract, int]]) -> None:
    """Plain and tuned trafilatura in turn on the same pages; raises SystemExit on a difference."""
    from trafilatura import extract
    from trafilatura.deduplication import LRUCache

    from stages.extract.trafilatura_tuning import tuning

    settings, faster = jobs[0][1], tuning()

    def texts(pages: list[HtmlPage]) -> tuple[list[str | None], float]:
        started = time.process_time()
        found = [
            extract(
                page.html,
                url=page.url,
                fast=settings.fast,
                favor_precision=settings.favor == "precision",
                favor_recall=settings.favor == "recall",
                include_comments=False,
                deduplicate=LRUCache(maxsize=4096) if settings.deduplicate else False,
            )
            for page in pages
        ]
        return found, time.process_time() - started

    plain_seconds = tuned_seconds = 0.0
    count = different = 0
    for warc, _, limit in jobs:
        pages = list(read_pages(warc))[: limit if limit >= 0 else None]
        for start in range(0, len(pages), PAGES_A_TURN):
            turn = pages[start : start + PAGES_A_TURN]
            gc.collect()
            plain, seconds = texts(turn)
            plain_seconds += seconds
            faster.apply()
            gc.collect()
            tuned, seconds = texts(turn)
            faster.undo()
            tuned_seconds += seconds
            different += sum(a != b for a, b in zip(plain, tuned, strict=True))
            count += len(turn)
    print(
        f"{count} pages, {different} different texts; CPU ms/page: plain "
        f"{1000 * plain_seconds / count:.2f}, tuned {1000 * tuned_seconds / count:.2f} "
        f"({plain_seconds / tuned_seconds:.2f} x)"
    )
    if different:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--extractor", choices=sorted(EXTRACTORS), default="trafilatura")
    parser.add_argument("--favor", choices=["balanced", "precision", "recall"], default="balanced")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--deduplicate", action="store_true")
    parser.add_argument("--limit", type=int, default=-1, help="pages of each of the eight files")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--compare-tuning", action="store_true")
    arguments = parser.parse_args()
    settings = Extract.model_validate(
        {
            "name": arguments.extractor,
            "favor": arguments.favor,
            "fast": arguments.fast,
            "deduplicate": arguments.deduplicate,
        }
    )
    validate_extract(settings)
    jobs = [(warc, settings, arguments.limit) for warc in dev_warcs(arguments.data)]
    if arguments.compare_tuning:
        compare_tuning(jobs)
        return
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        results = [result for part in pool.map(extract_file, jobs, chunksize=1) for result in part]
    print_table(results, ground_truth(arguments.data))


if __name__ == "__main__":
    main()
