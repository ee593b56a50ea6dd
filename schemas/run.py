"""run.json: the account of a run, with counts that reconcile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import InputError, ReconcileError


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class PhaseCounts(_Record):
    """One phase: what went in ended as kept, rejected or error."""

    name: str
    in_: int = Field(alias="in")
    kept: int
    rejected: int
    errors: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def check(self) -> None:
        """Raise ReconcileError unless in = kept + rejected + errors."""
        total = self.kept + self.rejected + self.errors
        if min(self.in_, self.kept, self.rejected, self.errors) < 0:
            raise ReconcileError(f"phase {self.name} has a negative count")
        if self.in_ != total:
            raise ReconcileError(
                f"phase {self.name} does not reconcile: {self.in_} in, but {self.kept} kept + "
                f"{self.rejected} rejected + {self.errors} errors = {total}"
            )


class FunnelStep(_Record):
    """One bar of the funnel: `kept` is what is left after the step."""

    step: str
    rejected: int
    errors: int
    kept: int


class InputRecord(_Record):
    path: str
    size: int


class ShardSummary(_Record):
    split: str
    shards: int
    docs: int
    tokens: int


class BenchmarkRecord(_Record):
    """A benchmark that documents were compared with."""

    name: str
    sha256: str
    """Of the file."""
    records: int
    texts: int
    """Strings that were looked for."""
    skipped: int
    """Strings that were not, for having too few words or little but numbers or boilerplate."""
    unseen_records: int
    """Records of which no string was looked for."""
    common: int = 0
    """N-grams left out for being in many of its records. 0 in older runs, without a limit."""


class RunRecordV1(_Record):
    schema_version: Literal[1] = 1
    corpusmill_version: str
    inputs: list[InputRecord]
    limit: int | None = None
    annotated: bool = False
    """Every page with text was kept, whatever the recipe says of it: no clusters, no shards."""
    decided_from: str | None = None
    """Folder of the annotated run that the documents come from instead of the inputs."""
    recipe: dict[str, Any]
    recipe_hash: str
    phases: list[PhaseCounts] = Field(min_length=1)
    funnel: list[FunnelStep]
    rules: dict[str, int]
    """Rejections by rule, over all phases."""
    errors: dict[str, int]
    """Errors by `stage.error`."""
    records: dict[str, int]
    """Records that hold no page by their type, read and counted but no part of `in`."""
    notes: dict[str, int] = {}
    """Oddities of records that were judged all the same, such as a digest that does not match."""
    languages: dict[str, int]
    pii: dict[str, int]
    benchmarks: list[BenchmarkRecord] = []
    """What documents were compared with; empty where the recipe names none."""
    shards: list[ShardSummary]
    fingerprint: str | None = None
    """Of the shard manifest; None when nothing was kept."""
    cpu_seconds_by_step: dict[str, float]
    cpu_seconds: float
    seconds: float
    pages_per_second: float
    peak_memory_bytes: int
    versions: dict[str, str]
    environment: dict[str, Any]

    def check(self) -> None:
        """Every phase reconciles and takes in what the one before kept, and what is counted in
        more than one way comes to the same.

        Raises ReconcileError with the first numbers that do not add up.
        """
        for phase in self.phases:
            phase.check()
        for before, after in zip(self.phases, self.phases[1:], strict=False):
            if after.in_ != before.kept:
                raise ReconcileError(
                    f"phase {before.name} kept {before.kept}, but phase {after.name} "
                    f"took in {after.in_}"
                )
        kept = self.phases[-1].kept
        shards = kept if not self.annotated else 0
        for what, count, where, counted in (
            ("documents were rejected", self._total("rejected"), "rules", self.rules.values()),
            ("records ended as errors", self._total("errors"), "errors", self.errors.values()),
            ("documents were kept", kept, "languages", self.languages.values()),
            ("documents are for shards", shards, "shards", [s.docs for s in self.shards]),
        ):
            if count != sum(counted):
                raise ReconcileError(f"{count} {what}, but `{where}` accounts for {sum(counted)}")
        if (self.fingerprint is None) != (not self.shards):
            raise ReconcileError(
                "there are shards without a fingerprint, or a fingerprint without shards"
            )
        self._check_funnel()

    def _total(self, field: str) -> int:
        return sum(getattr(phase, field) for phase in self.phases)

    def _check_funnel(self) -> None:
        left = self.phases[0].in_
        for step in self.funnel:
            left -= step.rejected + step.errors
            if step.kept != left:
                raise ReconcileError(f"funnel step {step.step} says {step.kept} left, not {left}")
        if left != self.phases[-1].kept:
            raise ReconcileError(
                f"the funnel ends with {left}, but {self.phases[-1].kept} documents were kept"
            )

    def to_json(self) -> str:
        """The record as written to disk."""
        return json.dumps(self.model_dump(by_alias=True), indent=2, sort_keys=False) + "\n"

    @classmethod
    def from_bytes(cls, data: bytes, path: str | Path) -> RunRecordV1:
        """Parse; raises InputError when it is no run record."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise InputError(f"{path} is not a run record: {where}: {problem['msg']}") from error
