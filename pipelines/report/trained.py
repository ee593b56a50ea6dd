"""What a training run inside the folder left: its metrics a step and its samples of text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines import storage
from pipelines.workspace import Workspace

FOLDER = "training"
"""Where `corpusmill demo` trains, below OUT."""


@dataclass
class TrainingFacts:
    """A training run in numbers."""

    steps: list[tuple[float, float]] = field(default_factory=list)
    """(step, loss in nats a token) of each step with a loss."""
    validations: list[tuple[float, float]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    """The newest value of each metric."""
    samples: list[tuple[int, str, str]] = field(default_factory=list)
    """(step, prompt, text that followed)."""


def read_training(workspace: Workspace) -> TrainingFacts | None:
    """The training run below the folder; None where there is none with a step in it.

    Lines that are cut off, as a run that was killed leaves them, are passed over.
    """
    facts = TrainingFacts()
    for row in _rows(workspace.path(FOLDER, "metrics.jsonl")):
        step, loss, validation = (_number(row.get(k)) for k in ("step", "loss", "val_loss"))
        if step is None:
            continue
        if loss is not None:
            facts.steps.append((step, loss))
        if validation is not None:
            facts.validations.append((step, validation))
        facts.last.update(row)
    for row in _rows(workspace.path(FOLDER, "samples.jsonl")):
        if isinstance(row.get("step"), int) and isinstance(row.get("text"), str):
            facts.samples.append((row["step"], str(row.get("prompt", "")), row["text"]))
    return facts if facts.steps else None


def _rows(path: str) -> Iterator[dict[str, Any]]:
    if not storage.exists(path):
        return
    for line in storage.read_bytes(path).decode("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None
