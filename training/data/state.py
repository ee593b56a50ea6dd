"""Where a run stands in its data, and whether another run may go on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from schemas.errors import InputError

Parts = Mapping[str, Any]
"""What decides the samples, by name: JSON values."""


@dataclass(frozen=True)
class DataState:
    """All that a checkpoint keeps of the data; no ranks, no threads, no random state."""

    fingerprint: str
    """Of `parts`."""
    seed: int
    epoch: int
    """Whole passes, for the reader of the file: it follows from `samples`."""
    samples: int
    """Samples taken by all ranks together since the run began."""
    parts: Parts

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataState:
        """From what `to_json` gave. Raises InputError for anything else."""
        try:
            state = cls(**values)
            int(state.samples), int(state.seed), dict(state.parts)
        except (TypeError, ValueError) as error:
            raise InputError(f"the data state of the checkpoint is malformed: {error}") from error
        return state


def fingerprint_of(parts: Parts) -> str:
    """sha256 of the parts."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check_same_data(state: DataState, parts: Parts, seed: int) -> None:
    """Raises InputError that says what changed since the state was saved, where anything did."""
    changes = list(_changes("", state.parts, parts))
    if state.seed != seed:
        changes.append(f"seed was {state.seed}, is {seed}")
    if not changes and state.fingerprint != fingerprint_of(parts):
        changes.append(f"fingerprint was {state.fingerprint}, is {fingerprint_of(parts)}")
    if changes:
        raise InputError(
            f"the run was started with other data: {'; '.join(changes)}. Put it back to resume, or "
            "start a new run from the weights (init) with another output"
        )


def _changes(prefix: str, before: Parts, now: Parts) -> Iterator[str]:
    for name in sorted({*before, *now}):
        key = f"{prefix}{name}"
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(f"{key}.", old, new)
        elif name not in now:
            yield f"{key} is no longer there"
        elif name not in before:
            yield f"{key} is new"
        elif old != new:
            yield f"{key} was {_short(old)}, is {_short(new)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else f"{text[:12]}..."
