"""A synthetic run, written through the schemas: big enough for every section, small for a test."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.recipes import load
from pipelines.workspace import Workspace
from schemas.recipe import Recipe, Rule
from schemas.run import RunRecordV1
from schemas.shards import ShardManifestV1
from schemas.tables import CLUSTER_V1, DOCUMENT_V1, ERROR_V1, REJECTED_V1, SHARD_DOC_V1

LANGUAGES = ("en", "de", "fr", "zh", "es", "fi", "ar")
PARTS = 3
DEDUP_ORDER = ("dedup.url", "dedup.exact", "dedup.minhash")


@dataclass
class Run:
    """Rows of a run before they are written; `write` makes the account reconcile."""

    recipe: Recipe
    documents: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    clusters: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(
        default_factory=lambda: [{"path": "crawl/a.warc.gz", "size": 1_234_567}]
    )
    sampled_text: str = "<script>alert(1)</script>"
    """What a model that was trained on the documents writes."""

    def write(self, folder: Path) -> Workspace:
        for name, rows, schema in (
            ("documents", self.documents, DOCUMENT_V1),
            ("rejected", self.rejected, REJECTED_V1),
            ("errors", self.errors, ERROR_V1),
            ("clusters", self.clusters, CLUSTER_V1),
        ):
            (folder / name).mkdir(parents=True)
            for part in range(PARTS):
                table = pa.Table.from_pylist(rows[part::PARTS], schema=schema)
                pq.write_table(table, folder / name / f"part-{part}.parquet")
        manifest = self._write_shards(folder / "shards") if self.documents else None
        if self.documents:
            self._write_training(folder / "training")
            self._write_training(folder / "finetuning")
        record = self._record(manifest)
        record.check()
        (folder / "run.json").write_text(record.to_json())
        return Workspace(str(folder))

    def _write_training(self, folder: Path) -> None:
        folder.mkdir()
        rows = [{"step": step, "loss": 8 - step / 50, "tokens": step} for step in range(1, 101)]
        rows[-1] |= {"val_loss": 6.5, "bits_per_byte": 2.5, "tokens_per_s": 1000.0}
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sample = {"step": 100, "prompt": "", "text": self.sampled_text}
        (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n")

    def _write_shards(self, folder: Path) -> ShardManifestV1:
        folder.mkdir()
        rows = [
            {
                "id": d["id"],
                "split": d["split"],
                "shard": 0,
                "position": index,
                "tokens": d["n_words"] * 3 // 2,
                "url": d["url"],
                "language": d["language"],
                "source": d["source"],
            }
            for index, d in enumerate(self.documents)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=SHARD_DOC_V1), folder / "docs.parquet")
        shards = [
            {
                "path": f"{split}/shard-00000",
                "split": split,
                "docs": sum(row["split"] == split for row in rows),
                "tokens": sum(row["tokens"] for row in rows if row["split"] == split),
                "sha256": {"bin": "b" * 64, "idx": "c" * 64},
            }
            for split in sorted({row["split"] for row in rows})
        ]
        content = {
            "tokenizer": {"file": "tokenizer.model", "sha256": "d" * 64},
            "vocab_size": 8000,
            "eos_id": 2,
            "dtype": "uint16",
            "shards": shards,
            "recipe_hash": self.recipe.hash(),
            "fingerprint": "f" * 64,
        }
        (folder / "manifest.json").write_text(json.dumps(content))
        return ShardManifestV1.model_validate(content)

    def _record(self, manifest: ShardManifestV1 | None) -> RunRecordV1:
        rules = Counter(row["rule"] for row in self.rejected)
        dups = {rule: n for rule, n in rules.items() if rule.startswith("dedup.")}
        kept, failed = len(self.documents), len(self.errors)
        total = kept + len(self.rejected) + failed
        extracted = kept + sum(dups.values())
        funnel = [{"step": "records", "rejected": 0, "errors": 0, "kept": total}]
        left = total
        for stage in ("read", "page", "url", "decode", "gate", "extract", "language", "quality"):
            gone = sum(row["stage"] == stage for row in self.rejected)
            bad = sum(row["stage"] == stage for row in self.errors)
            left -= gone + bad
            funnel.append({"step": stage, "rejected": gone, "errors": bad, "kept": left})
        for rule in sorted(dups, key=DEDUP_ORDER.index):
            left -= dups[rule]
            funnel.append({"step": rule, "rejected": dups[rule], "errors": 0, "kept": left})
        pii: Counter[str] = Counter()
        for document in self.documents:
            pii.update({k: n for k, n in document["pii"].items() if n})
        through = {"rejected": 0, "errors": 0, "in": kept, "kept": kept}
        phases = [
            {
                "name": "extract",
                "in": total,
                "kept": extracted,
                "rejected": len(self.rejected) - sum(dups.values()),
                "errors": failed,
                "seconds": 61.2,
                "cpu_seconds": 114.9,
            },
            {
                "name": "dedup",
                "in": extracted,
                "kept": kept,
                "rejected": sum(dups.values()),
                "errors": 0,
                "seconds": 3.4,
                "cpu_seconds": 3.6,
            },
            {"name": "finish", **through, "seconds": 9.1, "cpu_seconds": 16.0},
            {"name": "pack", **through, "seconds": 12.5, "cpu_seconds": 20.7},
        ]
        splits = [
            {"split": e.split, "shards": 1, "docs": e.docs, "tokens": e.tokens}
            for e in (manifest.shards if manifest else [])
        ]
        return RunRecordV1.model_validate(
            {
                "corpusmill_version": "0.1.0",
                "inputs": self.inputs,
                "recipe": self.recipe.model_dump(mode="json"),
                "recipe_hash": self.recipe.hash(),
                "phases": phases,
                "funnel": funnel,
                "rules": dict(rules),
                "errors": dict(Counter(f"{e['stage']}.{e['error']}" for e in self.errors)),
                "records": {"request": 12, "metadata": 3},
                "languages": dict(Counter(d["language"] for d in self.documents)),
                "pii": {kind: pii[kind] for kind in self.recipe.pii.kinds},
                "shards": splits,
                "fingerprint": manifest.fingerprint if manifest else None,
                "cpu_seconds_by_step": {
                    "extract": 70.0,
                    "quality": 21.5,
                    "pii": 14.2,
                    "read": 6.1,
                    "dedup": 3.6,
                    "language": 2.4,
                    "url": 0.31,
                },
                "cpu_seconds": 155.2,
                "seconds": 86.2,
                "pages_per_second": 21.4,
                "peak_memory_bytes": 912_000_000,
                "versions": {"python": "3.11.9", "trafilatura": "2.3.1"},
                "environment": {"platform": "Linux", "cores": 2, "workers": 2},
            }
        )


def document(number: int, **changed: Any) -> dict[str, Any]:
    """A kept document, different for each number."""
    dice = random.Random(number)
    words = int(dice.lognormvariate(5.8, 0.9)) + 50
    row = {
        "id": f"{number:032x}",
        "url": f"https://host{number % 17}.example/page/{number}",
        "host": f"host{number % 17}.example",
        "date": f"2024-0{1 + number % 9}-11T10:00:00Z",
        "text": f"Document {number}. " + "The quick brown fox jumps over the lazy dog. " * 30,
        "language": LANGUAGES[min(int(dice.expovariate(0.6)), 6)],
        "language_score": round(dice.uniform(0.65, 1), 3),
        "source": "warc",
        "warc_file": "a.warc.gz",
        "warc_offset": number * 1000,
        "warc_length": 900,
        "mime": "text/html",
        "charset": dice.choice(["utf-8", "utf-8", "windows-1252"]),
        "extractor": "trafilatura",
        "n_chars": words * 6,
        "n_words": words,
        "content_hash": f"{number:032x}",
        "cluster_id": f"{number:032x}",
        "cluster_size": 1,
        "pii": {"email": int(number % 5 == 0), "ip": 0, "phone": 2 * int(number % 11 == 0)},
        "signals": [],
        "recipe_hash": "r",
        "split": "validation" if number % 50 == 0 else "train",
    }
    return {**row, **changed}


def rejection(number: int, stage: str, rule: str, **changed: Any) -> dict[str, Any]:
    """A rejected document."""
    row = {
        "id": f"{number + 10**6:032x}",
        "url": f"https://spam{number % 7}.example/{number}",
        "stage": stage,
        "rule": rule,
        "value": None,
        "threshold": None,
        "rule_version": 1,
        "language": "en" if stage in ("quality", "dedup") else "",
        "text": "Buy now. " * 40,
        "detail": "",
        "warc_file": "a.warc.gz",
        "warc_offset": number,
    }
    return {**row, **changed}


def failure(number: int, stage: str, error: str, **changed: Any) -> dict[str, Any]:
    """An error."""
    row = {
        "file": "a.warc.gz",
        "offset": number,
        "length": 512,
        "stage": stage,
        "error": error,
        "detail": f"at byte {number}",
        "url": "",
    }
    return {**row, **changed}


def bounds_of(rules: list[Rule]) -> tuple[float | None, float | None]:
    """The lower and the upper bound that rules on one signal set together."""
    low = [b for r in rules for b in (r.min, r.above) if b is not None]
    high = [b for r in rules for b in (r.max, r.below) if b is not None]
    return max(low, default=None), min(high, default=None)


def good_value(rules: list[Rule], dice: random.Random) -> float:
    """A value that every one of these rules on a signal lets pass."""
    low, high = bounds_of(rules)
    if low is None:
        return (high or 0) * dice.betavariate(1.5, 4)
    return min(low * (1 + dice.lognormvariate(-1, 1)), (low + high) / 2 if high else low * 1e3)


def bad_value(rule: Rule, dice: random.Random) -> float:
    """A value that breaks the rule."""
    low, high = bounds_of([rule])
    return low * dice.uniform(0, 0.99) if low else (high or 1) * (1.01 + dice.expovariate(3))


def synthetic_run(recipe: Recipe, size: int) -> Run:
    """About `size` records, most of them rejected by something."""
    dice = random.Random(1)
    run = Run(recipe)
    rules = [step for step in recipe.quality if isinstance(step, Rule)]
    by_signal: dict[str, list[Rule]] = {}
    for rule in rules:
        by_signal.setdefault(rule.signal, []).append(rule)
    for number in range(int(size * 0.4)):
        values = [(name, good_value(group, dice)) for name, group in sorted(by_signal.items())]
        run.documents.append(document(number, signals=values))
    for number in range(int(size * 0.3)):
        rule = rules[min(int(dice.expovariate(0.25)), len(rules) - 1)]
        value = bad_value(rule, dice)
        bound = next(b for b in (rule.min, rule.max, rule.above, rule.below) if b is not None)
        run.rejected.append(rejection(number, "quality", rule.rule, value=value, threshold=bound))
    for stage, rule_name, share in (
        ("url", "url.blocklist_domain", 0.02),
        ("url", "url.soft_words", 0.01),
        ("page", "page.status", 0.03),
        ("extract", "extract.empty", 0.04),
        ("language", "language.score", 0.12),
    ):
        for _ in range(int(size * share)):
            number = len(run.rejected)
            run.rejected.append(rejection(number, stage, rule_name, detail="spam.example"))
    _add_duplicates(run, int(size * 0.06), dice)
    for number in range(max(int(size * 0.01), 2)):
        stage, error = (("read", "truncated"), ("extract", "timeout"))[number % 2]
        run.errors.append(failure(number, stage, error))
    return run


def _add_duplicates(run: Run, count: int, dice: random.Random) -> None:
    while count > 0 and run.documents:
        kept = dice.choice(run.documents)
        if kept["cluster_size"] > 1:
            continue
        dropped = min(count, 1 + int(dice.expovariate(0.9)))
        count -= dropped
        kept["cluster_size"] = 1 + dropped
        method = dice.choice(["minhash", "minhash", "exact", "url"])
        member = {
            "cluster_id": kept["id"],
            "cluster_size": 1 + dropped,
            "method": method,
            "segment": "s",
            "row": 0,
            "warc_file": "a.warc.gz",
            "warc_offset": 0,
        }
        run.clusters.append({"id": kept["id"], "kept": True, **member})
        for _ in range(dropped):
            number = len(run.rejected)
            row = rejection(number, "dedup", f"dedup.{method}", value=1.0 + dropped, threshold=1.0)
            run.rejected.append(row)
            run.clusters.append({"id": row["id"], "kept": False, **member})


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return load("fineweb")


@pytest.fixture
def run(recipe: Recipe) -> Run:
    return synthetic_run(recipe, 300)


MakeRow = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def make_document() -> MakeRow:
    return document


@pytest.fixture(scope="session")
def make_rejection() -> MakeRow:
    return rejection


@pytest.fixture(scope="session")
def make_failure() -> MakeRow:
    return failure
