"""What a training run inside the folder left: its metrics a step and its samples of text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipelines import storage
from pipelines.workspace import Workspace

FOLDER = "training"
"""Where `corpusmill demo` trains, below OUT."""
FINETUNED = "finetuning"
"""Where `corpusmill demo --full` fine-tunes that model."""


class Sample(NamedTuple):
    """What the model wrote after a step."""

    step: int
    prompt: str
    text: str
    expected: str | None = None
    """What it should have written, where it was asked."""


@dataclass
class TrainingFacts:
    """A training run in numbers."""

    steps: list[tuple[float, float]] = field(default_factory=list)
    """(step, loss in nats a token) of each step with a loss."""
    validations: list[tuple[float, float]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    """The newest value of each metric."""
    samples: list[Sample] = field(default_factory=list)


def read_training(workspace: Workspace, folder: str = FOLDER) -> TrainingFacts | None:
    """The training run in `folder` below OUT; None where there is none with a step in it.

    Lines that are cut off, as a run that was killed leaves them, are passed over.
    """
    facts = TrainingFacts()
    for row in _rows(workspace.path(folder, "metrics.jsonl")):
        step, loss, validation = (_number(row.get(k)) for k in ("step", "loss", "val_loss"))
        if step is None:
            continue
        if loss is not None:
            facts.steps.append((step, loss))
        if validation is not None:
            facts.validations.append((step, validation))
        facts.last.update(row)
    for row in _rows(workspace.path(folder, "samples.jsonl")):
        if isinstance(row.get("step"), int) and isinstance(row.get("text"), str):
            prompt, expected = str(row.get("prompt", "")), row.get("expected")
            told = expected if isinstance(expected, str) else None
            facts.samples.append(Sample(row["step"], prompt, row["text"], told))
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
