"""Small fine-tuning runs for tests: conversations and configurations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.sft.config import SftConfig


def chat(*turns: str, **fields: Any) -> dict[str, Any]:
    """A record of turns, of a user and an assistant in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return {"messages": messages, **fields}


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """JSONL."""
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), "utf-8")
    return path


def sums(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Questions with answers of different lengths, the same at every call."""
    return [chat(f"{n} and {n % 7}", "z" * (n % 5 + 1)) for n in range(first, first + count)]


def tree(folder: Path, **changed: Any) -> dict[str, Any]:
    """The configuration of a run of seconds; sections are merged key by key."""
    train = folder / "train.jsonl"
    if not train.exists():
        write_records(train, sums(40))
        write_records(folder / "eval.jsonl", sums(6, first=100))
    base: dict[str, Any] = {
        "output": str(folder / "run"),
        "tokenizer": "byte",
        "data": {
            "train": str(train),
            "eval": str(folder / "eval.jsonl"),
            "template": "plain",
            "sequence_length": 32,
        },
        "model": {"preset": "debug", "n_layers": 1, "dim": 32, "max_seq_len": 64},
        "optimizer": {"lr": 3e-3},
        "train": {"steps": 6, "batch_size": 4, "log_every": 100, "peak_flops": 1e12},
        "checkpoint": {"every": 2},
        "validation": {"every": 3, "batches": 2},
    }
    for key, value in changed.items():
        merge = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = base[key] | value if merge else value
    return base


def config(folder: Path, **changed: Any) -> SftConfig:
    """`tree`, checked."""
    return SftConfig.model_validate(tree(folder, **changed))
