"""Small pretraining runs for tests: text, configuration, and what a run left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.config import PretrainConfig

WORDS = (
    "the",
    "river",
    "runs",
    "past",
    "a",
    "mill",
    "where",
    "corn",
    "is",
    "ground",
    "for",
    "bread",
)


def write_text(path: Path, documents: int = 60) -> Path:
    """JSONL of short documents from two sources, the same at every call."""
    rows = []
    for number in range(documents):
        words = [WORDS[(number * 7 + k * k) % len(WORDS)] for k in range(20 + number % 11)]
        source = "rivers" if number % 3 else "mills"
        rows.append(json.dumps({"text": " ".join(words) + ".", "source": source}))
    path.write_text("\n".join(rows) + "\n")
    return path


def tree(folder: Path, **changed: Any) -> dict[str, Any]:
    """The configuration of a run of seconds; sections are merged key by key."""
    base: dict[str, Any] = {
        "output": str(folder / "run"),
        "tokenizer": "byte",
        "data": {"text": [str(folder / "text.jsonl")], "sequence_length": 32},
        "model": {"preset": "debug", "n_layers": 1, "dim": 32},
        "optimizer": {"lr": 3e-3},
        "train": {"steps": 6, "batch_size": 4, "log_every": 100, "peak_flops": 1e12},
        "checkpoint": {"every": 2},
        "validation": {"every": 3, "batches": 1},
    }
    if not (folder / "text.jsonl").exists():
        write_text(folder / "text.jsonl")
    for key, value in changed.items():
        merge = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = base[key] | value if merge else value
    return base


def config(folder: Path, **changed: Any) -> PretrainConfig:
    """`tree`, checked."""
    return PretrainConfig.model_validate(tree(folder, **changed))


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[float]:
    """The loss of each step, as exact as it was written."""
    return [row["loss"] for row in metrics(run)]


def steps_saved(run: Path) -> list[int]:
    """Steps of the checkpoints."""
    return sorted(int(p.name[5:]) for p in (run / "checkpoints").glob("step-*"))
