"""Speed and recall of the MinHash band hasher on real text.

    python benchmarks/minhash.py [--text FILE.jsonl.gz] [--documents N]

Speed: BandHasher and plain datasketch (each n-gram joined, encoded and hashed with its default
SHA-1; batch update) take the same documents in turns, CPU seconds by process_time, median of the
turns. Recall: copies of the documents with some words replaced, sorted by the true Jaccard
similarity of their shingles, against what the S-curve promises.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import datasketch
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from schemas.recipe import MinHash
from stages.dedup import BandHasher
from stages.dedup.curve import candidate_probability, table
from stages.dedup.shingles import shingles_of, words_of

DEFAULT_TEXT = (
    Path(__file__).resolve().parents[1] / "../shared/data/corpus/plain_text.jsonl.gz"
).resolve()
TURNS = 5
BUCKETS = (0.5, 0.6, 0.7, 0.8, 0.9)
RATES = (0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1)
"""Shares of words replaced in a copy: Jaccard similarities from 0.95 down to 0.45."""


def read_texts(path: Path, count: int, languages: set[str]) -> list[str]:
    """Texts of 400 to 8,000 characters, the first `count` of them."""
    texts = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["lang"] in languages and 400 <= len(row["text"]) <= 8000:
                texts.append(row["text"])
    return random.Random(1).sample(texts, min(count, len(texts)))


def plain_datasketch(settings: MinHash) -> Callable[[str], object]:
    """What the library's documentation shows, over the same words."""
    hashes, ngram = settings.bands * settings.rows, settings.ngram

    def hash_text(text: str) -> object:
        words = words_of(text)
        sketch = datasketch.MinHash(num_perm=hashes, seed=settings.seed)
        sketch.update_batch(
            [" ".join(words[i : i + ngram]).encode() for i in range(len(words) - ngram + 1)]
        )
        return sketch.hashvalues

    return hash_text


def cpu_ms(work: Callable[[str], object], texts: list[str]) -> float:
    begun = time.process_time()
    for text in texts:
        work(text)
    return (time.process_time() - begun) * 1000 / len(texts)


def speed(name: str, texts: list[str], settings: MinHash) -> None:
    contestants = {
        "BandHasher": BandHasher(settings),
        "plain datasketch": plain_datasketch(settings),
    }
    taken: dict[str, list[float]] = defaultdict(list)
    for work in contestants.values():
        work(texts[0])
    for _ in range(TURNS):
        for label, work in contestants.items():
            taken[label].append(cpu_ms(work, texts))
    words = statistics.mean(len(words_of(text)) for text in texts)
    print(f"\n{name}: {len(texts)} documents of {words:.0f} words on average")
    for label, times in taken.items():
        middle = statistics.median(times)
        print(
            f"  {label:17s} {middle:.3f} ms CPU a document ({min(times):.3f}-{max(times):.3f}), "
            f"{1000 / middle:,.0f} documents/s"
        )


def near_copy(words: list[str], rate: float, source: random.Random) -> str:
    return " ".join(
        f"x{source.getrandbits(32):x}" if source.random() < rate else word for word in words
    )


def recall(texts: list[str], settings: MinHash) -> None:
    hasher = BandHasher(settings)
    source = random.Random(2)
    found: dict[float, list[tuple[bool, float]]] = defaultdict(list)
    for text in texts:
        words = words_of(text)
        bands = np.frombuffer(hasher(text), "<u8")
        shingles = set(shingles_of(text, settings.ngram).tolist())
        for rate in RATES:
            copy = near_copy(words, rate, source)
            other = set(shingles_of(copy, settings.ngram).tolist())
            similarity = len(shingles & other) / len(shingles | other)
            meet = bool((bands == np.frombuffer(hasher(copy), "<u8")).any())
            expected = candidate_probability(similarity, settings.bands, settings.rows)
            bucket = max((b for b in BUCKETS if b <= similarity), default=0.0)
            found[bucket].append((meet, expected))
    print("\n" + table(settings.bands, settings.rows))
    print("\nJaccard        pairs  recall  S-curve")
    for bucket, pairs in sorted(found.items()):
        end = min((b for b in BUCKETS if b > bucket), default=1.0)
        share = statistics.mean(meet for meet, _ in pairs)
        promise = statistics.mean(expected for _, expected in pairs)
        print(f"  {bucket:.1f} - {end:.1f}  {len(pairs):7d}  {share:6.3f}  {promise:7.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, default=DEFAULT_TEXT)
    parser.add_argument("--documents", type=int, default=1000)
    arguments = parser.parse_args()
    settings = MinHash()
    english = read_texts(arguments.text, arguments.documents, {"en"})
    speed("English", english, settings)
    speed("Chinese", read_texts(arguments.text, arguments.documents // 4, {"zh"}), settings)
    recall(english, settings)


if __name__ == "__main__":
    main()
