from __future__ import annotations

import gzip
import json
import math
import random
import subprocess
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import datasketch
import numpy as np
import pytest

from schemas.recipe import MinHash
from stages.dedup import BandHasher
from stages.dedup.curve import candidate_probability
from stages.dedup.shingles import shingles_of

FIXED = [17887045146090374770, 10611971757507329569]


def words(count: int, seed: int, prefix: str = "w") -> list[str]:
    source = random.Random(seed)
    return [
        f"{prefix}{source.choice('abcdefghij')}{source.getrandbits(40):x}" for _ in range(count)
    ]


def jaccard(a: str, b: str, ngram: int = 5) -> float:
    left, right = set(shingles_of(a, ngram).tolist()), set(shingles_of(b, ngram).tolist())
    return len(left & right) / len(left | right)


def shared_band(a: bytes, b: bytes) -> bool:
    return bool((np.frombuffer(a, "<u8") == np.frombuffer(b, "<u8")).any())


@pytest.mark.parametrize("count", [1, 4, 5, 6, 300, 3000])
def test_signature_equals_plain_datasketch(count: int) -> None:
    text = " ".join(words(count, seed=count))
    plain = datasketch.MinHash(num_perm=112, seed=1, hashfunc=int, scheme="affine32")
    for shingle in shingles_of(text, 5).tolist():
        plain.update(shingle)
    ours = BandHasher(MinHash()).signature(text)
    assert ours is not None
    assert ours.tolist() == plain.hashvalues.tolist()


def test_bands_are_eight_bytes_each() -> None:
    settings = MinHash(bands=20, rows=5, ngram=3)
    bands = BandHasher(settings)("a text of some length that has several shingles")
    assert len(bands) == 8 * 20
    assert len(set(np.frombuffer(bands, "<u8").tolist())) == 20


def test_fixed_value() -> None:
    """Keys of one run must stay comparable with those of the next."""
    bands = np.frombuffer(BandHasher(MinHash())("the quick brown fox jumps over it"), "<u8")
    assert bands[:2].tolist() == FIXED


def test_children_start_without_scipy_and_find_datasketch_whole() -> None:
    program = (
        "import sys; from schemas.recipe import MinHash; from stages.dedup import BandHasher\n"
        "bands = BandHasher(MinHash())('the quick brown fox jumps over it')\n"
        "assert not {'scipy', 'datasketch', 'datasketch.minhash'} & set(sys.modules)\n"
        "from datasketch import MinHashLSH\n"
        "assert 'scipy' in sys.modules\n"
        "assert BandHasher(MinHash(seed=2))('a b c') and bands[:8].hex() == sys.argv[1]\n"
    )
    expected = BandHasher(MinHash())("the quick brown fox jumps over it")[:8].hex()
    subprocess.run([sys.executable, "-c", program, expected], check=True)


def test_seed_changes_the_bands() -> None:
    text = " ".join(words(50, 1))
    assert not shared_band(BandHasher(MinHash(seed=1))(text), BandHasher(MinHash(seed=2))(text))


def test_copies_and_short_texts() -> None:
    hasher = BandHasher(MinHash())
    assert hasher("Short text.") == hasher("short  TEXT")
    assert hasher("") == b""
    assert hasher("?!") == b""


def overlapping(common: int, own: int, seed: int) -> tuple[str, str]:
    """Two texts of distinct words whose word sets have Jaccard common / (common + 2 own)."""
    shared = words(common, seed, "s")
    left = words(own, seed + 1_000_003, "l")
    right = words(own, seed + 2_000_003, "r")
    return " ".join(shared + left), " ".join(shared + right)


@pytest.mark.parametrize(("common", "own"), [(100, 200), (200, 100), (400, 50), (450, 25)])
def test_estimate_lies_within_the_binomial_error(common: int, own: int) -> None:
    hasher = BandHasher(MinHash(ngram=1))
    hashes, pairs = 112, 60
    true = common / (common + 2 * own)
    agreed = 0
    for seed in range(pairs):
        a, b = (hasher.signature(text) for text in overlapping(common, own, seed))
        assert a is not None
        assert b is not None
        agreed += int((a == b).sum())
    error = math.sqrt(true * (1 - true) / (hashes * pairs))
    assert abs(agreed / (hashes * pairs) - true) < 4 * error


@pytest.mark.parametrize(("common", "own"), [(200, 100), (280, 60), (320, 40), (360, 20)])
def test_recall_follows_the_curve(common: int, own: int) -> None:
    hasher = BandHasher(MinHash(ngram=1))
    pairs = 150
    true = common / (common + 2 * own)
    found = 0
    for seed in range(pairs):
        a, b = overlapping(common, own, seed)
        found += shared_band(hasher(a), hasher(b))
    expected = candidate_probability(true, 14, 8)
    error = math.sqrt(expected * (1 - expected) / pairs)
    assert abs(found / pairs - expected) <= 4 * error + 0.01


def candidates(texts: dict[str, str]) -> set[tuple[str, str]]:
    hasher = BandHasher(MinHash())
    buckets: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, text in texts.items():
        for band in enumerate(np.frombuffer(hasher(text), "<u8").tolist()):
            buckets[band].append(name)
    return {pair for names in buckets.values() for pair in combinations(sorted(names), 2)}


def test_planted_news_pairs_are_found(shared_data: Path) -> None:
    folder = shared_data / "neardup"
    with gzip.open(folder / "mccormick_articles.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = {row["id"]: row["text"] for row in map(json.loads, lines)}
    truth = {
        tuple(sorted(line.split()))
        for line in (folder / "mccormick_truth_pairs.tsv").read_text().splitlines()
    }
    assert candidates(texts) == truth


def test_chinese_near_duplicates_are_found(shared_data: Path) -> None:
    with gzip.open(shared_data / "corpus/plain_text.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = {
        f"{number}": row["text"]
        for number, row in enumerate(
            row for row in rows if row["source"] == "debian-reference-zh-cn"
        )
    }
    copies = {f"{name}'": text.replace("\u7684", "", 8) for name, text in texts.items()}
    near = {name for name in texts if jaccard(texts[name], copies[f"{name}'"]) > 0.9}
    assert len(near) > 30
    found = candidates(
        {name: texts[name] for name in near} | {f"{n}'": copies[f"{n}'"] for n in near}
    )
    assert {(name, f"{name}'") for name in near} <= found


def test_natural_near_duplicates(shared_data: Path) -> None:
    folder = shared_data / "warc_pages"
    with gzip.open(folder / "ground_truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        truth = {row["record_id"]: row.get("main_text") for row in map(json.loads, lines)}
    hasher = BandHasher(MinHash())
    checked = 0
    for line in (folder / "natural_near_duplicates.jsonl").read_text().splitlines():
        pair = json.loads(line)
        a, b = truth.get(pair["a"]), truth.get(pair["b"])
        if not a or not b or jaccard(a, b) < 0.85:
            continue
        checked += 1
        assert shared_band(hasher(a), hasher(b))
    assert checked == 2


def test_numbers_are_kept_on_demand() -> None:
    one, other = "what is 12 plus 7", "what is 45 plus 9"
    assert BandHasher(MinHash())(one) == BandHasher(MinHash())(other)
    hasher = BandHasher(MinHash(), numbers=True)
    assert not shared_band(hasher(one), hasher(other))
    words_only = "the quick brown fox jumps over it"
    assert hasher(words_only) == BandHasher(MinHash())(words_only)
