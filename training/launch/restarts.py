"""When the pods of a job are started again, as JobSet and Job express it.

One pod that fails ends its Job (`backoffLimit: 0`), and the JobSet then replaces all of them:
training goes on from the last checkpoint. A pod that was evicted, drained or preempted has the
condition DisruptionTarget; its Job fails by the pod failure policy, which does not use up a
restart (jobset.sigs.k8s.io, "Failure Policy", ignoring maintenance events).
"""

from __future__ import annotations

from typing import Any

from schemas.job import TrainingJob
from training.launch.objects import metadata

REPLICATED_JOB = "node"


def failure_policy(job: TrainingJob) -> dict[str, Any]:
    """The JobSet's part."""
    return {
        "maxRestarts": job.max_restarts,
        "rules": [
            {
                "name": "disruption",
                "action": "RestartJobSetAndIgnoreMaxRestarts",
                "onJobFailureReasons": ["PodFailurePolicy"],
            }
        ],
    }


def job_template(job: TrainingJob, pod: dict[str, Any]) -> dict[str, Any]:
    """The spec of the one Job in the JobSet, with a pod for each node."""
    spec: dict[str, Any] = {
        "completionMode": "Indexed",
        "parallelism": job.nodes,
        "completions": job.nodes,
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                }
            ]
        },
    }
    if job.time_limit_minutes is not None:
        spec["activeDeadlineSeconds"] = job.time_limit_minutes * 60
    labels = metadata(job, job.name)["labels"]
    return spec | {"template": {"metadata": {"labels": labels}, "spec": pod}}
