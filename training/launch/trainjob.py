"""A TrainJob of Kubeflow Trainer v2 and the runtime it refers to (trainer.kubeflow.org/v1alpha1).

The runtime holds what the platform decides (rights, volumes, placement, restarts), the TrainJob
what the training does (image, command, environment, nodes, resources).
"""

from __future__ import annotations

from typing import Any

from schemas.errors import UsageError
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

API_VERSION = "trainer.kubeflow.org/v1alpha1"


def render(launch: Launch) -> Rendered:
    """The manifest. Raises UsageError for a missing image, claim or secret reference, and for a
    port, which is Kubeflow's to choose."""
    check_storage(launch)
    if launch.job.rendezvous_port not in (None, DEFAULT_PORT):
        raise UsageError(f"rendezvous_port: Kubeflow Trainer always uses {DEFAULT_PORT}")
    text = to_yaml(objects(launch), "Rendered by: corpusmill launch --target trainjob")
    return Rendered(f"{launch.job.name}.trainjob.yaml", text)


def objects(launch: Launch) -> list[dict[str, Any]]:
    """ConfigMap, runtime and TrainJob."""
    return [*config_maps(launch), _runtime(launch), _train_job(launch)]


def _runtime(launch: Launch) -> dict[str, Any]:
    job = launch.job
    kind = job.kubernetes.runtime
    entries = metadata(job, job.name, namespaced=kind == "TrainingRuntime")
    entries["labels"]["trainer.kubeflow.org/framework"] = "torch"
    # Kubeflow sets the number of pods from the TrainJob.
    job_spec = job_template(job, pod_spec(launch, container_frame(launch)))
    replicated = {
        "name": REPLICATED_JOB,
        "replicas": 1,
        "template": {
            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
            "spec": job_spec,
        },
    }
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": entries,
        "spec": {
            "mlPolicy": {"numNodes": job.nodes, "torch": {}},
            "template": {
                "spec": {"failurePolicy": failure_policy(job), "replicatedJobs": [replicated]}
            },
        },
    }


def _train_job(launch: Launch) -> dict[str, Any]:
    job = launch.job
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainJob",
        "metadata": queued(job, metadata(job, job.name)),
        "spec": {
            "runtimeRef": {
                "apiGroup": "trainer.kubeflow.org",
                "kind": job.kubernetes.runtime,
                "name": job.name,
            },
            "trainer": _trainer(job, launch),
        },
    }


def _trainer(job: TrainingJob, launch: Launch) -> dict[str, Any]:
    return {
        "image": job.image,
        "command": ["torchrun"],
        "args": torchrun_arguments(launch),
        "env": variables(job),
        "numNodes": job.nodes,
        "numProcPerNode": job.gpus_per_node,
        "resourcesPerNode": resources(job),
    }


TARGET = Target(
    "a TrainJob of Kubeflow Trainer v2 and its runtime", render, ("kubectl", "apply", "-f", "-")
)
