"""What a pod of a job looks like, whoever creates it: the container, its volumes, its rights."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from schemas.errors import UsageError
from schemas.job import TrainingJob
from training.launch.configmap import config_map_name
from training.launch.description import Launch
from training.launch.trainer import environment, trainer_command

CONTAINER = "node"
"""The name that Kubeflow Trainer looks for (its validating webhook for runtimes)."""

CONFIG_FOLDER = "/etc/corpusmill/launch"

USER_ID = 10001
"""The user of deploy/images/trainer.Dockerfile."""

START_TIMEOUT_SECONDS = 1800
"""How long the first nodes wait for the last one, which may still have to pull its image."""

Object = dict[str, Any]


def check_storage(launch: Launch) -> None:
    """Raises UsageError when the job could not write its output or has no image."""
    job = launch.job
    if job.image is None:
        raise UsageError("image: Kubernetes needs one, pinned by digest: registry/path@sha256:...")
    paths = [claim.path for claim in job.kubernetes.claims]
    taken = [*paths, "/tmp", "/dev/shm", CONFIG_FOLDER]
    for path in paths:
        if taken.count(path) > 1 or path == "/":
            raise UsageError(f"kubernetes.claims: {path} is taken")
    writable = [claim.path for claim in job.kubernetes.claims if not claim.read_only]
    if not any(PurePosixPath(job.output).is_relative_to(path) for path in writable):
        raise UsageError(
            f"output: {job.output} lies in no writable claim; kubernetes.claims has "
            f"{', '.join(writable) or 'none'}"
        )


def torchrun_arguments(launch: Launch) -> list[str]:
    """The arguments of torchrun; nodes, ranks and the first node come from PET_* variables.

    A failed process is not started again inside its pod: all pods are replaced together, so that
    no node waits for another in a rendezvous that has moved on.
    """
    arguments = ["--no-python", *trainer_command(launch, CONFIG_FOLDER)]
    if launch.job.nodes > 1:
        arguments.insert(0, f"--rdzv-conf=timeout={START_TIMEOUT_SECONDS}")
    return [literal(argument) for argument in arguments]


def literal(text: str) -> str:
    """Text that the kubelet leaves as it is: it would replace `$(NAME)` by a variable's value, and
    reads `$$` as one `$` (kubernetes.io, "Define dependent environment variables")."""
    return text.replace("$", "$$")


def variables(job: TrainingJob) -> list[Object]:
    """The container's environment; secrets by reference."""
    plain = {"HOME": "/tmp", "USER": "corpusmill"} | environment(job)
    entries: list[Object] = [
        {"name": name, "value": literal(value)} for name, value in plain.items()
    ]
    for secret in job.secrets:
        if secret.kubernetes is None:
            raise UsageError(f"secrets: {secret.name} needs `kubernetes` with secret and key")
        reference = {"name": secret.kubernetes.secret, "key": secret.kubernetes.key}
        entries.append({"name": secret.name, "valueFrom": {"secretKeyRef": reference}})
    return entries


def resources(job: TrainingJob) -> Object:
    """Requests equal to limits: the Guaranteed class, which is evicted last."""
    amounts = {
        "cpu": str(job.cpus_per_node),
        "memory": f"{job.memory_gib_per_node}Gi",
        job.kubernetes.gpu_resource: str(job.gpus_per_node),
        **{name: str(count) for name, count in job.kubernetes.extra_resources.items()},
    }
    return {"requests": amounts, "limits": dict(amounts)}


def container_frame(launch: Launch) -> Object:
    """The container without what it runs: its rights and what it sees of the file system."""
    mounts: list[Object] = [
        {"name": "scratch", "mountPath": "/tmp"},
        {"name": "shared-memory", "mountPath": "/dev/shm"},
    ]
    if launch.config_text is not None:
        mounts.append({"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True})
    for index, claim in enumerate(launch.job.kubernetes.claims):
        mount: Object = {"name": f"claim-{index}", "mountPath": claim.path}
        mounts.append(mount | ({"readOnly": True} if claim.read_only else {}))
    return {
        "name": CONTAINER,
        "image": launch.job.image,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def pod_spec(launch: Launch, container: Object) -> Object:
    """The pod around a container: the rules of the "restricted" Pod Security Standard."""
    job = launch.job
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": job.grace_seconds,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": _volumes(launch),
    }
    return spec | _placement(job)


def _volumes(launch: Launch) -> list[Object]:
    job = launch.job
    volumes: list[Object] = [
        {"name": "scratch", "emptyDir": {"sizeLimit": f"{job.scratch_gib}Gi"}},
        {
            "name": "shared-memory",
            "emptyDir": {"medium": "Memory", "sizeLimit": f"{job.shared_memory_gib}Gi"},
        },
    ]
    if launch.config_text is not None:
        volumes.append({"name": "config", "configMap": {"name": config_map_name(launch)}})
    for index, claim in enumerate(job.kubernetes.claims):
        source: Object = {"claimName": claim.claim}
        source |= {"readOnly": True} if claim.read_only else {}
        volumes.append({"name": f"claim-{index}", "persistentVolumeClaim": source})
    return volumes


def _placement(job: TrainingJob) -> Object:
    settings = job.kubernetes
    placement: Object = {}
    if settings.node_selector:
        placement["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        placement["tolerations"] = [
            toleration.model_dump(exclude_none=True) for toleration in settings.tolerations
        ]
    if settings.priority_class is not None:
        placement["priorityClassName"] = settings.priority_class
    if settings.service_account is not None:
        placement["serviceAccountName"] = settings.service_account
    if settings.image_pull_secret is not None:
        placement["imagePullSecrets"] = [{"name": settings.image_pull_secret}]
    return placement
