"""Kubernetes objects: their metadata, and how they are written as YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from schemas.job import TrainingJob

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/_.-]+")
_WORDS = {"y", "n", "yes", "no", "on", "off", "null", "true", "false"}


class _Dumper(yaml.SafeDumper):
    """Quotes every text that some version of YAML could read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if "\n" in value and value.replace("\n", "").isprintable():
        style = "|"
    elif not _PLAIN.fullmatch(value) or value.lower() in _WORDS:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def metadata(job: TrainingJob, name: str, *, namespaced: bool = True) -> dict[str, Any]:
    """Name, labels and, where the job names one, the namespace."""
    labels = {
        "app.kubernetes.io/name": "corpusmill",
        "app.kubernetes.io/component": job.stage,
        "app.kubernetes.io/instance": job.name,
    }
    entries: dict[str, Any] = {"name": name, "labels": labels}
    if namespaced and job.kubernetes.namespace is not None:
        entries["namespace"] = job.kubernetes.namespace
    return entries


def queued(job: TrainingJob, entries: dict[str, Any]) -> dict[str, Any]:
    """The metadata of what Kueue admits, with its queue where the job names one."""
    if job.kubernetes.queue is not None:
        entries["labels"]["kueue.x-k8s.io/queue-name"] = job.kubernetes.queue
    return entries


def to_yaml(objects: Sequence[Mapping[str, Any]], comment: str) -> str:
    """The objects as one stream of documents under a line of comment."""
    text = yaml.dump_all(
        objects, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, explicit_start=True
    )
    return f"# {comment}\n{text}"
