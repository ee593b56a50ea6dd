"""run.json of a run, put together from what its phases left."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from pipelines import account
from pipelines.account import Markers
from pipelines.clocks import WHOLE, Clocks
from pipelines.names import shown
from pipelines.plan import Plan
from schemas.errors import ReconcileError
from schemas.run import InputRecord, PhaseCounts, RunRecordV1
from schemas.shards import ShardManifestV1


class PhaseWork(NamedTuple):
    """What the phases of a run left: the contents of their markers, by task or shard."""

    extracted: Markers
    finished: Markers
    dedup: dict[str, Any] | None = None
    """None in an annotated run, which ends with finish."""
    manifest: ShardManifestV1 | None = None
    """None when nothing was kept."""
    packed: Counter[str] | None = None
    token_steps: Counter[str] | None = None


def build_record(
    plan: Plan,
    work: PhaseWork,
    clocks: Clocks,
    environment: dict[str, Any],
    peak_memory_bytes: int,
) -> RunRecordV1:
    """The account.

    Raises ReconcileError where counts do not add up.
    """
    phases = _phases(work, clocks)
    whole = clocks.spent(WHOLE)
    rules = account.total(work.extracted.values(), "rules")
    rules.update(_carried_out(work))
    rules.update(account.contaminations(work.finished))
    errors = account.total(work.extracted.values(), "error_kinds")
    errors.update(account.total(work.finished.values(), "error_kinds"))
    record = RunRecordV1(
        corpusmill_version=account.corpusmill_version(),
        inputs=[InputRecord(path=shown(f.path), size=f.size) for f in plan.inputs],
        limit=plan.limit,
        annotated=plan.annotated,
        decided_from=plan.decided_from or None,
        recipe=plan.recipe.model_dump(mode="json"),
        recipe_hash=plan.recipe_hash,
        phases=phases,
        funnel=account.funnel(work.extracted, phases, rules),
        rules=dict(rules.most_common()),
        errors=dict(errors.most_common()),
        records=dict(account.total(work.extracted.values(), "skipped").most_common()),
        notes=dict(account.total(work.extracted.values(), "notes").most_common()),
        languages=dict(account.total(work.finished.values(), "languages").most_common()),
        pii=dict(account.total(work.finished.values(), "pii")),
        benchmarks=account.benchmarks(work.finished),
        shards=account.shard_summaries(work.manifest),
        fingerprint=work.manifest.fingerprint if work.manifest else None,
        cpu_seconds_by_step={name: round(n, 4) for name, n in _steps(work).most_common()},
        cpu_seconds=round(whole.cpu_seconds, 3),
        seconds=round(whole.seconds, 3),
        pages_per_second=round(phases[0].in_ / max(whole.seconds, 1e-9), 2),
        peak_memory_bytes=peak_memory_bytes,
        versions=account.versions(),
        environment=environment,
    )
    record.check()
    return record


def _phases(work: PhaseWork, clocks: Clocks) -> list[PhaseCounts]:
    finish_counts = account.total(work.finished.values(), "counts")
    # Dedup decides and finish carries it out: each rejection is counted once, in dedup.
    duplicates = account.duplicates(work.finished).total()
    finish_counts["in"] -= duplicates
    finish_counts["rejected"] -= duplicates
    counts = {"extract": account.total(work.extracted.values(), "counts")}
    if work.dedup is not None:
        counts["dedup"] = Counter(work.dedup["counts"])
    counts["finish"] = finish_counts
    if work.dedup is not None:
        counts["pack"] = work.packed or Counter()
    return [account.phase(name, c, clocks.spent(name)) for name, c in counts.items()]


def _carried_out(work: PhaseWork) -> Counter[str]:
    """Rejections by dedup rule, once it is sure that finish dropped what dedup decided."""
    decided = Counter(work.dedup["rules"]) if work.dedup is not None else Counter[str]()
    dropped = account.duplicates(work.finished)
    if dropped != decided:
        raise ReconcileError(f"dedup decided {dict(decided)}, but finish dropped {dict(dropped)}")
    return decided


def _steps(work: PhaseWork) -> Counter[str]:
    steps = account.total(work.extracted.values(), "cpu_seconds_by_step")
    if work.dedup is not None:
        steps.update(work.dedup["cpu_seconds_by_step"])
    steps.update(account.total(work.finished.values(), "cpu_seconds_by_step"))
    steps.update(work.token_steps or {})
    return steps
