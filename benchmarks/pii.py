"""Recall, precision and CPU time of stages.pii.

    python benchmarks/pii.py [--data ../shared/data] [--misses]

Recall and precision by kind on the labelled sentences of pii/presidio_synth_v2 and
pii/presidio_generated_large: a label is found when a span of its kind overlaps it, and a span is
right when it overlaps a label of its kind. Private and unallocated IP addresses are left out of
the labels: they stay in the text by design. CPU time by kind on the main text of warc_pages.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from schemas.recipe import Pii
from stages.pii import Scrubber
from stages.pii.addresses import is_public

SETS = ("presidio_synth_v2", "presidio_generated_large")
LABELS = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "credit_card",
    "IBAN_CODE": "iban",
}


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            yield json.loads(line)


def labels_of(row: dict[str, Any]) -> list[tuple[str, int, int]]:
    found = []
    for span in row["spans"]:
        kind = LABELS.get(span["entity_type"])
        if kind == "ip" and not is_public(ip_address(span["entity_value"])):
            continue
        if kind is not None:
            found.append((kind, span["start_position"], span["end_position"]))
    return found


def measure(scrubber: Scrubber, path: Path, show: bool) -> dict[str, Counter[str]]:
    """Kind -> labels, found, spans, right."""
    totals = {kind: Counter[str]() for kind in LABELS.values()}
    for row in lines(path):
        text = row["full_text"]
        labels = labels_of(row)
        spans = scrubber.find(text)
        for kind, start, end in labels:
            hit = any(s.kind == kind and s.start < end and s.end > start for s in spans)
            totals[kind].update(labels=1, found=hit)
            if show and not hit:
                print(f"  missed {kind}: {text[max(0, start - 25) : end + 15]!r}")
        for span in spans:
            right = any(
                k == span.kind and span.start < end and span.end > start for k, start, end in labels
            )
            totals[span.kind].update(spans=1, right=right)
            if show and not right:
                print(f"  wrong {span.kind}: {text[max(0, span.start - 25) : span.end + 15]!r}")
    return totals


def ratio(part: int, whole: int) -> str:
    return f"{part / whole:.3f} ({part}/{whole})" if whole else "-"


def report_recall(data: Path, show: bool) -> None:
    scrubber = Scrubber(Pii())
    together = {kind: Counter[str]() for kind in LABELS.values()}
    for name in SETS:
        totals = measure(scrubber, data / "pii" / f"{name}.jsonl.gz", show)
        for kind, counts in totals.items():
            together[kind].update(counts)
        print_table(name, totals)
    print_table("both", together)


def print_table(name: str, totals: dict[str, Counter[str]]) -> None:
    print(f"{name}\n  {'kind':12} {'recall':20} precision")
    for kind, c in totals.items():
        print(f"  {kind:12} {ratio(c['found'], c['labels']):20} {ratio(c['right'], c['spans'])}")


def report_speed(data: Path) -> None:
    rows = lines(data / "warc_pages" / "ground_truth.jsonl.gz")
    texts = [row["main_text"] for row in rows if row["main_text"]]
    print(f"CPU on {len(texts)} texts of {sum(map(len, texts)) / len(texts):.0f} characters")
    for kinds in ([kind] for kind in LABELS.values()):
        time_one(kinds, texts)
    time_one(list(LABELS.values()), texts)


def time_one(kinds: list[Any], texts: list[str]) -> None:
    scrubber = Scrubber(Pii(kinds=kinds))
    scrubber.scrub(texts[0])
    counts: Counter[str] = Counter()
    start = time.process_time()
    for text in texts:
        counts.update(scrubber.scrub(text)[1])
    seconds = time.process_time() - start
    print(f"  {'+'.join(kinds):40} {1000 * seconds / len(texts):6.2f} ms/text {dict(counts)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--misses", action="store_true", help="print what is missed or wrong")
    options = parser.parse_args()
    report_recall(options.data, options.misses)
    report_speed(options.data)


if __name__ == "__main__":
    main()
