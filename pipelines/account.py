"""From the markers of the phases to run.json, with every count checked."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from schemas.run import FunnelStep, PhaseCounts, ShardSummary
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
        methods = {r: n for r, n in rules.items() if r.startswith("dedup.")}
        if later.name == "dedup" and methods:
            for rule in sorted(methods, key=_method_order):
                left -= methods[rule]
                steps.append(FunnelStep(step=rule, rejected=methods[rule], errors=0, kept=left))
        elif later.rejected or later.errors:
            left -= later.rejected + later.errors
            row = FunnelStep(
                step=later.name, rejected=later.rejected, errors=later.errors, kept=left
            )
            steps.append(row)
    return steps


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
