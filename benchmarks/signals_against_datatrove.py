"""Quality decisions of the recipe `fineweb` against datatrove's four filters, on the same texts.

    python benchmarks/signals_against_datatrove.py TEXTS.jsonl [--limit N] [--show N]

TEXTS.jsonl holds extracted pages, an object a line with `id` and `text`. With --warc GLOB the
texts are made first: trafilatura, precision, from the HTML responses of those WARCs.
Needs spacy beside datatrove 0.10.1, for its tokeniser.
"""

from __future__ import annotations

import argparse
import glob
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.recipes import load
from schemas.recipe import Edit, Rule
from stages.decide import check_rule, judge

FILTERS = ("gopher_repetition", "gopher_quality", "c4", "fineweb")


class Verdict(NamedTuple):
    broken: dict[str, str]
    """Filter -> datatrove's reason or our rule; only filters that turn the text down."""
    first: str
    """The filter that ends the chain, or an empty string."""
    seconds: float


def write_texts(pattern: str, target: Path) -> None:
    """Extract the pages of WARCs as FineWeb does, once."""
    import trafilatura
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    with target.open("w", encoding="utf-8") as out:
        for path in sorted(glob.glob(pattern)):
            with open(path, "rb") as stream:
                for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                    body = record.reader.read()
                    html = bytes_to_str(body, detect_encoding(body) or "utf-8")
                    text = trafilatura.extract(html, favor_precision=True, include_comments=False)
                    out.write(json.dumps({"id": record.record_id, "text": text or ""}) + "\n")


def read_texts(path: Path, limit: int | None) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if limit is not None and number >= limit:
                return
            row = json.loads(line)
            if row["text"]:
                yield row["id"], row["text"]


class Datatrove:
    """FineWeb's four filters with the options of examples/fineweb.py."""

    def __init__(self) -> None:
        from datatrove.pipeline.filters import (
            C4QualityFilter,
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
        )

        self._filters = (
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
        )

    def judge(self, text: str) -> Verdict:
        """Every filter on its own; FineWeb's on the text that C4's left."""
        from datatrove.data import Document

        document = Document(text=text, id="0")
        broken: dict[str, str] = {}
        start = time.process_time()
        for name, step in zip(FILTERS, self._filters, strict=True):
            result = step.filter(document)
            if result is not True:
                broken[name] = result[1] if isinstance(result, tuple) else "false"
        seconds = time.process_time() - start
        return Verdict(broken, next(iter(broken), ""), seconds)


class Ours:
    """The quality steps of a recipe, all of them on every text."""

    def __init__(self, name: str) -> None:
        self._steps: list[Rule | Edit] = load(name).quality

    def judge(self, text: str) -> Verdict:
        start = time.process_time()
        signals = judge(text, self._steps, "en", annotate=False).signals
        seconds = time.process_time() - start
        signals = judge(text, self._steps, "en", annotate=True).signals
        broken: dict[str, str] = {}
        for step in self._steps:
            if isinstance(step, Rule):
                family = step.rule.partition(".")[0]
                rejection = check_rule(step, signals[step.signal], "en")
                if rejection is not None:
                    broken.setdefault(family, f"{step.rule} {rejection.value:.4f}")
        return Verdict(broken, next((f for f in FILTERS if f in broken), ""), seconds)


def jaccard(left: set[str], right: set[str]) -> float:
    return len(left & right) / len(left | right) if left | right else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("--warc", help="make the texts from these WARCs first")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--show", type=int, default=20, help="differing documents to list")
    arguments = parser.parse_args()
    if arguments.warc and not arguments.texts.exists():
        write_texts(arguments.warc, arguments.texts)
    theirs, ours = Datatrove(), Ours("fineweb")
    ours.judge("Warm up.")
    theirs.judge("Warm up.")
    agree: Counter[str] = Counter()
    total = 0
    kept: tuple[set[str], set[str]] = (set(), set())
    rejected: dict[str, tuple[set[str], set[str]]] = {name: (set(), set()) for name in FILTERS}
    seconds = [0.0, 0.0]
    shown: list[str] = []
    for identifier, text in read_texts(arguments.texts, arguments.limit):
        total += 1
        pair = (theirs.judge(text), ours.judge(text))
        # A page that C4 drops leaves FineWeb's filter another text there than here.
        if any("c4" in verdict.broken for verdict in pair):
            for verdict in pair:
                verdict.broken.pop("fineweb", None)
        for side, verdict in enumerate(pair):
            seconds[side] += verdict.seconds
            if not verdict.first:
                kept[side].add(identifier)
            for name in verdict.broken:
                rejected[name][side].add(identifier)
        agree["chain"] += (not pair[0].first) == (not pair[1].first)
        if pair[0].broken.keys() != pair[1].broken.keys():
            shown.append(f"{identifier} datatrove {pair[0].broken} ours {pair[1].broken}")
    print(f"{total} texts")
    for name, (left, right) in rejected.items():
        print(
            f"{name:18s} rejected {len(left):4d} / {len(right):4d}, "
            f"differ on {len(left ^ right):3d}, agreement {1 - len(left ^ right) / total:.4f}"
        )
    print(
        f"chain              kept {len(kept[0])} / {len(kept[1])}, "
        f"agreement {agree['chain'] / total:.4f}, Jaccard {jaccard(*kept):.4f}"
    )
    print(
        f"CPU ms a text      datatrove, all four filters {seconds[0] / total * 1000:.2f}, "
        f"ours up to the first broken rule {seconds[1] / total * 1000:.2f}"
    )
    print("\n".join(shown[: arguments.show]))


if __name__ == "__main__":
    main()
