"""The language gate against the full chain: pages dropped early, and dropped wrongly.

    python -m benchmarks.gates --data ../shared/data [--language en] [--workers 2]

The full chain is trafilatura (precision, deduplicate), then P(language) > 0.65. A false drop is a
page that the gate drops and the full chain keeps. `costs` is raw text plus identification on every
page; `saves` is the extraction and identification of the pages dropped. Pages: the eight dev files
and dev-multilingual.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from benchmarks.warc_pages import dev_warcs, read_pages
from schemas.recipe import Extract, Language, LanguageGate
from stages.extract import EXTRACTORS, raw_text, tidy
from stages.language import LanguageIdentifier, check_gate, check_language, model_path

THRESHOLD = 0.65
PROBABILITIES = (0.05, 0.10, 0.15, 0.20, 0.30, 0.50)
CHARACTERS = (500, 1000, 2000)


class Measured(NamedTuple):
    kept: bool
    chain_seconds: float
    raw_seconds: float
    wanted: dict[int, float | None]
    """Characters looked at -> probability of the wanted language; None where the page passes."""
    gate_seconds: dict[int, float]


def measure(job: tuple[Path, str]) -> list[Measured]:
    warc, wanted_language = job
    identifier = LanguageIdentifier(model_path("lid.176"))
    extract = Extract(favor="precision", deduplicate=True)
    language = Language(keep={wanted_language: THRESHOLD})
    extractor = EXTRACTORS[extract.name]
    rows = []
    for page in read_pages(warc):
        started = time.process_time()
        text = tidy(extractor(page.html, extract, page.url), extract)
        label, score = identifier.top(text)
        extracted = time.process_time()
        raw = raw_text(page.html)
        raw_done = time.process_time()
        wanted: dict[int, float | None] = {}
        gate_seconds = {}
        for characters in CHARACTERS:
            clock = time.process_time()
            # a gate that rejects whatever it looks at tells what it saw
            strict = LanguageGate.model_construct(min_probability=2.0, characters=characters)
            verdict = check_gate(raw, identifier, language, strict)
            gate_seconds[characters] = time.process_time() - clock
            wanted[characters] = None if verdict is None else verdict.value
        rows.append(
            Measured(
                kept=bool(text) and check_language(label, score, language) is None,
                chain_seconds=extracted - started,
                raw_seconds=raw_done - extracted,
                wanted=wanted,
                gate_seconds=gate_seconds,
            )
        )
    return rows


def print_table(rows: list[Measured]) -> None:
    kept = sum(row.kept for row in rows)
    print(f"{len(rows)} pages, {kept} kept by the full chain; {len(rows) - kept} could go early")
    header = ("characters", "P below", "dropped", "false", "costs ms", "saves ms")
    print("".join(f"{name:>11}" for name in header))
    for characters in CHARACTERS:
        cost = fmean(row.raw_seconds + row.gate_seconds[characters] for row in rows)
        for probability in PROBABILITIES:
            dropped = [
                row for row in rows if (p := row.wanted[characters]) is not None and p < probability
            ]
            saved = sum(row.chain_seconds for row in dropped) / len(rows)
            false = sum(row.kept for row in dropped)
            print(
                f"{characters:>11}{probability:>11.2f}{len(dropped):>11}{false:>11}"
                f"{1000 * cost:>11.2f}{1000 * saved:>11.2f}"
            )
    short = sum(row.wanted[CHARACTERS[0]] is None for row in rows)
    print(f"{short} pages are too short for the gate and pass")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--language", default="en", help="label of lid.176")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    warcs = [*dev_warcs(arguments.data), arguments.data / "warc_pages/dev-multilingual.warc.gz"]
    jobs = [(warc, arguments.language) for warc in warcs]
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        print_table([row for part in pool.map(measure, jobs, chunksize=1) for row in part])


if __name__ == "__main__":
    main()
