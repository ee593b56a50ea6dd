"""Job descriptions for tests."""

from __future__ import annotations

from typing import Any

from schemas.checked import checked
from schemas.job import TrainingJob
from training.launch import Launch


def job_tree(**changes: Any) -> dict[str, Any]:
    """A small valid description, with keys replaced; a key set to None is left out."""
    tree: dict[str, Any] = {
        "name": "demo",
        "stage": "pretrain",
        "config": "/data/demo.yaml",
        "output": "/runs/demo",
        "image": "registry.example.com/trainer@sha256:" + "0" * 64,
        "nodes": 2,
        "gpus_per_node": 4,
        "cpus_per_node": 16,
        "memory_gib_per_node": 64,
        "torchrun": {"host": "node-0"},
        "kubernetes": {"claims": [{"claim": "runs", "path": "/runs"}]},
    }
    return {key: value for key, value in (tree | changes).items() if value is not None}


def job(**changes: Any) -> TrainingJob:
    return checked(TrainingJob, job_tree(**changes), "job.yaml")


def launch_of(config_text: str | None = None, **changes: Any) -> Launch:
    return Launch(job(**changes), config_text)
