"""From the markers of the phases to run.json, with every count checked."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from schemas.run import BenchmarkRecord, FunnelStep, PhaseCounts, ShardSummary
from schemas.shards import ShardManifestV1

VERSIONED_PACKAGES = (
    "apache-beam",
    "pyarrow",
    "numpy",
    "fastwarc",
    "resiliparse",
    "trafilatura",
    "justext",
    "fasttext-numpy2-wheel",
    "datasketch",
    "datatrove",
    "presidio-analyzer",
    "phonenumbers",
    "sentencepiece",
    "xxhash",
    "lxml",
)

PAGE_STAGES = ("read", "page", "url", "gate", "extract", "language", "quality")
"""Order of the steps of phase 1 in the funnel."""

DEDUP_RULES, DECONTAMINATION_RULES = "dedup.", "decontamination."
"""What the names of rules begin with that phase finish carries out."""

Markers = dict[str, dict[str, Any]]


class Clock(NamedTuple):
    """What a phase took in this run; phases taken over from before took next to nothing."""

    seconds: float
    cpu_seconds: float


def total(markers: Iterable[dict[str, Any]], field: str) -> Counter[str]:
    """The sum of one counter over markers."""
    result: Counter[str] = Counter()
    for content in markers:
        result.update(content.get(field, {}))
    return result


def duplicates(finished: Markers) -> Counter[str]:
    """Documents that finish dropped as duplicates, by rule."""
    return _of_kind(finished, DEDUP_RULES)


def contaminations(finished: Markers) -> Counter[str]:
    """Documents that finish dropped for what they share with a benchmark, by rule."""
    return _of_kind(finished, DECONTAMINATION_RULES)


def _of_kind(finished: Markers, kind: str) -> Counter[str]:
    rules = total(finished.values(), "rules")
    return Counter({rule: count for rule, count in rules.items() if rule.startswith(kind)})


def benchmarks(finished: Markers) -> list[BenchmarkRecord]:
    """What documents were compared with: every task says the same."""
    said: list[Any] = next((content["benchmarks"] for content in finished.values()), [])
    return [BenchmarkRecord.model_validate(fields) for fields in said]


def phase(name: str, counts: Counter[str], clock: Clock) -> PhaseCounts:
    """A checked row of run.json's `phases`. Raises ReconcileError."""
    row = PhaseCounts(
        name=name,
        **{"in": counts["in"]},
        kept=counts["kept"],
        rejected=counts["rejected"],
        errors=counts["errors"],
        seconds=round(clock.seconds, 3),
        cpu_seconds=round(clock.cpu_seconds, 3),
    )
    row.check()
    return row


def funnel(extract: Markers, phases: list[PhaseCounts], rules: Counter[str]) -> list[FunnelStep]:
    """Every step in order with what is left after it."""
    rejected = total(extract.values(), "rejections_by_stage")
    errors = total(extract.values(), "errors_by_stage")
    left = phases[0].in_ if phases else 0
    steps = [FunnelStep(step="records", rejected=0, errors=0, kept=left)]
    unknown = sorted((set(rejected) | set(errors)) - set(PAGE_STAGES))
    for stage in (*PAGE_STAGES, *unknown):
        left -= rejected[stage] + errors[stage]
        row = FunnelStep(step=stage, rejected=rejected[stage], errors=errors[stage], kept=left)
        steps.append(row)
    for later in phases[1:]:
        for name, turned_down, failed in _steps_of(later, rules):
            left -= turned_down + failed
            if turned_down or failed:
                row = FunnelStep(step=name, rejected=turned_down, errors=failed, kept=left)
                steps.append(row)
    return steps


def _steps_of(later: PhaseCounts, rules: Counter[str]) -> list[tuple[str, int, int]]:
    """(name, rejected, errors) of what a phase after the first does to documents."""
    if later.name == "dedup":
        methods = [rule for rule in rules if rule.startswith(DEDUP_RULES)]
        return [(rule, rules[rule], 0) for rule in sorted(methods, key=_method_order)]
    if later.name == "finish":
        return [("finish", 0, later.errors), ("decontamination", later.rejected, 0)]
    return [(later.name, later.rejected, later.errors)]


def _method_order(rule: str) -> int:
    order = ("dedup.url", "dedup.exact", "dedup.minhash")
    return order.index(rule) if rule in order else len(order)


def shard_summaries(manifest: ShardManifestV1 | None) -> list[ShardSummary]:
    """Shards, documents and tokens a split."""
    if manifest is None:
        return []
    summaries = []
    for split in sorted({entry.split for entry in manifest.shards}):
        entries = [entry for entry in manifest.shards if entry.split == split]
        summaries.append(
            ShardSummary(
                split=split,
                shards=len(entries),
                docs=sum(entry.docs for entry in entries),
                tokens=sum(entry.tokens for entry in entries),
            )
        )
    return summaries


def versions() -> dict[str, str]:
    """Versions of what can change the output."""
    found = {"python": platform.python_version()}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def corpusmill_version() -> str:
    """The installed version, or `source` when run from an uninstalled checkout."""
    try:
        return version("corpusmill")
    except PackageNotFoundError:
        return "source"


def environment(runner: str, workers: int) -> dict[str, Any]:
    """Where the run took place."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "runner": runner,
        "workers": workers,
        "python": sys.version.split()[0],
    }
