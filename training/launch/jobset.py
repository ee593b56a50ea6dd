"""A JobSet that runs torchrun in its pods without Kubeflow (jobset.x-k8s.io/v1alpha2)."""

from __future__ import annotations

from typing import Any

from schemas.job import TrainingJob
from training.launch.configmap import config_maps
from training.launch.description import Launch
from training.launch.objects import metadata, queued, to_yaml
from training.launch.pods import (
    check_storage,
    container_frame,
    pod_spec,
    resources,
    torchrun_arguments,
    variables,
)
from training.launch.restarts import REPLICATED_JOB, failure_policy, job_template
from training.launch.target import Rendered, Target
from training.launch.trainer import DEFAULT_PORT


def render(launch: Launch) -> Rendered:
    """The manifest. Raises UsageError for a missing image, claim or secret reference."""
    check_storage(launch)
    text = to_yaml(objects(launch), "Rendered by: corpusmill launch --target jobset")
    return Rendered(f"{launch.job.name}.jobset.yaml", text)


def objects(launch: Launch) -> list[dict[str, Any]]:
    """ConfigMap and JobSet."""
    job = launch.job
    container = container_frame(launch) | {
        "command": ["torchrun"],
        "args": torchrun_arguments(launch),
        "env": [*variables(job), *_rendezvous(job)],
        "ports": [{"name": "rendezvous", "containerPort": _port(job), "protocol": "TCP"}],
        "resources": resources(job),
    }
    replicated = {
        "name": REPLICATED_JOB,
        "replicas": 1,
        "template": {"spec": job_template(job, pod_spec(launch, container))},
    }
    jobset = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": queued(job, metadata(job, job.name)),
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            "failurePolicy": failure_policy(job),
            "replicatedJobs": [replicated],
        },
    }
    return [*config_maps(launch), jobset]


def _rendezvous(job: TrainingJob) -> list[dict[str, Any]]:
    """What Kubeflow's torch plugin sets: torchrun takes PET_* for options that are not given."""
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    return [
        {"name": "PET_NNODES", "value": str(job.nodes)},
        {"name": "PET_NPROC_PER_NODE", "value": str(job.gpus_per_node)},
        {"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": index}}},
        {"name": "PET_MASTER_ADDR", "value": f"{job.name}-{REPLICATED_JOB}-0-0.{job.name}"},
        {"name": "PET_MASTER_PORT", "value": str(_port(job))},
    ]


def _port(job: TrainingJob) -> int:
    return job.rendezvous_port or DEFAULT_PORT


TARGET = Target("a JobSet manifest, without Kubeflow", render, ("kubectl", "apply", "-f", "-"))
