"""Manifests against the models of the kubeflow-trainer-api package, which are generated from the
API definitions of Trainer v2, JobSet and Kubernetes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubeflow_trainer_api import models

from schemas.errors import UsageError
from tests.builders.jobs import launch_of
from training.launch import TARGETS
from training.launch.objects import to_yaml
from training.launch.pods import literal

MODELS = {
    "ConfigMap": models.IoK8sApiCoreV1ConfigMap,
    "JobSet": models.JobsetV1alpha2JobSet,
    "TrainJob": models.TrainerV1alpha1TrainJob,
    "TrainingRuntime": models.TrainerV1alpha1TrainingRuntime,
    "ClusterTrainingRuntime": models.TrainerV1alpha1ClusterTrainingRuntime,
}
EVERYTHING: dict[str, Any] = {
    "config": "a.yaml",
    "time_limit_minutes": 60,
    "max_restarts": 7,
    "environment": {"A": "1"},
    "secrets": [{"name": "HF_TOKEN", "kubernetes": {"secret": "hub", "key": "token"}}],
    "kubernetes": {
        "namespace": "training",
        "claims": [
            {"claim": "runs", "path": "/runs"},
            {"claim": "data", "path": "/data", "read_only": True},
        ],
        "node_selector": {"nvidia.com/gpu.product": "H100"},
        "tolerations": [
            {"key": "gpu"},
            {"key": "gpu", "operator": "Equal", "value": "x", "effect": "NoSchedule"},
        ],
        "extra_resources": {"rdma/hca": 1},
        **{"queue": "q", "priority_class": "low", "service_account": "sa"},
        "image_pull_secret": "pull",
    },
}
KUBERNETES = ("trainjob", "jobset")


def objects(target: str, config_text: str | None = "a: 1\n", **changes: Any) -> dict[str, Any]:
    text = TARGETS[target].render(launch_of(config_text, **(EVERYTHING | changes))).text
    return {found["kind"]: found for found in yaml.safe_load_all(text)}


def replicated_job(found: dict[str, Any]) -> dict[str, Any]:
    """The one Job template in a JobSet or runtime."""
    spec = found["JobSet"]["spec"] if "JobSet" in found else runtime(found)["spec"]
    (entry,) = (spec if "JobSet" in found else spec["template"]["spec"])["replicatedJobs"]
    return entry["template"]


def runtime(found: dict[str, Any]) -> dict[str, Any]:
    return next(entry for kind, entry in found.items() if kind.endswith("Runtime"))


def pod(found: dict[str, Any]) -> dict[str, Any]:
    return replicated_job(found)["spec"]["template"]["spec"]


def trainer(found: dict[str, Any]) -> dict[str, Any]:
    """What holds image, command and environment."""
    if "JobSet" in found:
        return pod(found)["containers"][0]
    return found["TrainJob"]["spec"]["trainer"]


@pytest.mark.parametrize("target", KUBERNETES)
@pytest.mark.parametrize("kind", ["TrainingRuntime", "ClusterTrainingRuntime"])
def test_every_field_is_one_of_the_api(target: str, kind: str) -> None:
    found = objects(target, kubernetes=EVERYTHING["kubernetes"] | {"runtime": kind})
    assert set(found) == {"ConfigMap", *({"JobSet"} if target == "jobset" else {"TrainJob", kind})}
    for name, entry in found.items():
        # The models check types and drop what they do not know.
        assert MODELS[name].from_dict(entry).to_dict() == entry


def test_an_unknown_field_would_be_seen() -> None:
    found = objects("jobset")
    pod(found)["restartPolice"] = "Never"
    assert MODELS["JobSet"].from_dict(found["JobSet"]).to_dict() != found["JobSet"]


@pytest.mark.parametrize("target", KUBERNETES)
def test_pods_have_no_rights(target: str) -> None:
    spec = pod(objects(target))
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"] == {
        **{"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        **{"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True},
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert not any("hostPath" in volume for volume in spec["volumes"])


@pytest.mark.parametrize("target", KUBERNETES)
def test_volumes_and_mounts_belong_together(target: str) -> None:
    spec = pod(objects(target))
    volumes = {volume.pop("name"): volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert volumes[mounts["/dev/shm"]["name"]]["emptyDir"]["medium"] == "Memory"
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]
    assert mounts["/data"]["readOnly"] is True
    assert "readOnly" not in mounts["/runs"]
    assert {mount["name"] for mount in mounts.values()} == set(volumes)


@pytest.mark.parametrize("target", KUBERNETES)
def test_the_configuration_is_mounted_where_the_trainer_looks(target: str) -> None:
    found = objects(target)
    config_map = found["ConfigMap"]
    assert config_map["data"] == {"demo.yaml": "a: 1\n"}
    assert config_map["immutable"] is True
    volume = next(volume for volume in pod(found)["volumes"] if volume["name"] == "config")
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    arguments = trainer(found)["args"]
    assert arguments[arguments.index("corpusmill") :] == [
        *("corpusmill", "pretrain", "/etc/corpusmill/launch/demo.yaml"),
        *("--set", "output=/runs/demo"),
    ]
    other = objects(target, "a: 2\n")["ConfigMap"]["metadata"]["name"]
    assert other != config_map["metadata"]["name"]
    assert "ConfigMap" not in objects(target, None)


@pytest.mark.parametrize("target", KUBERNETES)
def test_secrets_are_references(target: str) -> None:
    entries = {entry["name"]: entry for entry in trainer(objects(target))["env"]}
    reference = {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert entries["HF_TOKEN"] == {"name": "HF_TOKEN", "valueFrom": reference}
    assert entries["A"]["value"] == "1"
    with pytest.raises(UsageError, match="secrets: B needs `kubernetes`"):
        objects(target, secrets=[{"name": "B", "file": "/b"}])


@pytest.mark.parametrize("target", KUBERNETES)
def test_restarts_and_disruptions(target: str) -> None:
    found = objects(target)
    holder = found["JobSet"]["spec"] if target == "jobset" else runtime(found)["spec"]["template"]
    policy = holder["failurePolicy"] if target == "jobset" else holder["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 7
    assert policy["rules"][0]["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    spec = replicated_job(found)["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (2, 2, 0)
    assert spec["activeDeadlineSeconds"] == 3600
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert pod(found)["restartPolicy"] == "Never", "a pod failure policy needs it"
    assert pod(found)["terminationGracePeriodSeconds"] == 120


def test_a_jobset_names_the_first_pod_and_a_trainjob_leaves_that_to_kubeflow() -> None:
    entries = {entry["name"]: entry for entry in trainer(objects("jobset"))["env"]}
    assert entries["PET_MASTER_ADDR"]["value"] == "demo-node-0-0.demo"
    assert entries["PET_NNODES"]["value"] == "2"
    assert entries["PET_NPROC_PER_NODE"]["value"] == "4"
    assert "fieldRef" in entries["PET_NODE_RANK"]["valueFrom"]
    train_job = objects("trainjob")["TrainJob"]["spec"]
    assert not [e for e in train_job["trainer"]["env"] if e["name"].startswith("PET_")]
    assert (train_job["trainer"]["numNodes"], train_job["trainer"]["numProcPerNode"]) == (2, 4)


def test_a_trainjob_refers_to_its_runtime() -> None:
    cluster_wide = EVERYTHING["kubernetes"] | {"runtime": "ClusterTrainingRuntime"}
    for changes in ({}, {"kubernetes": cluster_wide}):
        found = objects("trainjob", **changes)
        reference = found["TrainJob"]["spec"]["runtimeRef"]
        made = runtime(found)
        assert (reference["kind"], reference["name"]) == (made["kind"], made["metadata"]["name"])
        assert ("namespace" in made["metadata"]) == (made["kind"] == "TrainingRuntime")


@pytest.mark.parametrize("target", KUBERNETES)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "image: Kubernetes needs one"),
        ({"output": "/elsewhere"}, "output: /elsewhere lies in no writable claim"),
        ({"output": "/data/x"}, "output: /data/x lies in no writable claim"),
        (
            {"kubernetes": {"claims": [{"claim": "a", "path": "/tmp"}]}},
            "kubernetes.claims: /tmp is taken",
        ),
    ],
)
def test_what_kubernetes_needs(target: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        objects(target, **changes)


def test_kubeflow_chooses_the_port() -> None:
    assert objects("jobset", rendezvous_port=4000)
    with pytest.raises(UsageError, match="rendezvous_port: Kubeflow Trainer always uses 29500"):
        objects("trainjob", rendezvous_port=4000)


def kubelet_expansion(text: str, variables: dict[str, str]) -> str:
    """`$(NAME)` and `$$` as kubernetes.io, "Define dependent environment variables", has them."""

    def replaced(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^()]*)\)", replaced, text)


@given(st.text(alphabet="$()AB"))
def test_the_kubelet_gives_back_what_was_written(text: str) -> None:
    assert kubelet_expansion(literal(text), {"A": "expanded", "": "x"}) == text


@pytest.mark.parametrize("target", KUBERNETES)
def test_arguments_and_variables_are_literal(target: str) -> None:
    found = objects(target, overrides=["a=$(HF_TOKEN)"], environment={"B": "$(HF_TOKEN)"})
    assert "a=$$(HF_TOKEN)" in trainer(found)["args"]
    entries = {entry["name"]: entry.get("value") for entry in trainer(found)["env"]}
    assert entries["B"] == "$$(HF_TOKEN)"


@settings(max_examples=200)
@given(st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=5))
def test_yaml_gives_back_what_was_written(tree: Any) -> None:
    assert list(yaml.safe_load_all(to_yaml([{"a": tree}], "comment"))) == [{"a": tree}]


@pytest.mark.parametrize(
    "word", ["y", "n", "Yes", "on", "1e3", "0o7", "1_000", "12:30", "~", "null", ".5", "0x1"]
)
def test_words_that_some_yaml_reads_as_something_else_are_quoted(word: str) -> None:
    assert f': "{word}"\n' in to_yaml([{"key": word}], "comment")
