from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import UsageError
from schemas.secret_names import looks_secret, names_a_secret
from tests.builders.jobs import job

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node": 2}, "unknown key node; did you mean nodes?"),
        ({"slurm": {"partitions": "x"}}, "unknown key slurm.partitions; did you mean partition?"),
        (
            {"kubernetes": {"claims": [{"claim": "a", "path": "/a", "readonly": True}]}},
            "unknown key kubernetes.claims[0].readonly",
        ),
        ({"stage": "train"}, "stage: Input should be 'pretrain', 'sft'"),
        ({"gpus_per_node": None}, "gpus_per_node: Field required"),
        ({"nodes": 0}, "nodes: Input should be greater than or equal to 1 (got 0)"),
        ({"name": "Demo"}, "name: String should match"),
        ({"name": "a" * 41}, "name: String should have at most 40"),
        ({"name": "demo\n"}, "name: String should match"),
        ({"config": "a.txt"}, "config: write the path of a .yaml"),
        ({"config": "../a.yaml"}, "config: write the path of a .yaml"),
        ({"output": "runs"}, "output: write an absolute path"),
        ({"output": "/runs/../etc"}, "output: write an absolute path"),
        ({"overrides": ["steps"]}, "overrides[0]: write key=value"),
        ({"overrides": ["a=b\nc"]}, "overrides[0]: must not hold control characters"),
        ({"overrides": ["output=/x"]}, "overrides[0]: output is a key of the description"),
        ({"shared_memory_gib": 65}, "shared_memory_gib: 65 is more than memory_gib_per_node"),
        ({"environment": {"A B": "c"}}, "environment"),
        ({"environment": {"RANK": "1"}}, "environment: RANK is set by the launcher"),
        ({"environment": {"PET_NNODES": "1"}}, "environment: PET_NNODES is set by the launcher"),
        ({"environment": {"A": "x\ny"}}, "must not hold control characters"),
        ({"environment": {"A": True}}, "environment.A: Input should be a valid string"),
        ({"secrets": [{"name": "A"}, {"name": "A"}]}, "secrets: a name is given twice"),
        (
            {"secrets": [{"name": "A"}], "environment": {"A": "b"}},
            "environment: A is also in `secrets`",
        ),
        ({"slurm": {"partition": "a b"}}, "slurm.partition: String should match"),
        ({"slurm": {"account": "a\n#SBATCH --x"}}, "slurm.account: String should match"),
        ({"network": {"interface": "eth0;ls"}}, "network.interface: String should match"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        job(**changes)
    assert str(error.value).startswith("job.yaml: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["HF_TOKEN", "WANDB_API_KEY", "DB_PASSWORD", "AWS_SECRET", "KEYS"])
def test_a_secret_by_name_is_refused_and_its_value_not_shown(name: str) -> None:
    with pytest.raises(UsageError, match="looks like a secret") as error:
        job(environment={name: "hunter2"})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "value",
    [
        "hf_" + "a" * 34,
        "AKIA" + "A" * 16,
        "sk-" + "a" * 40,
        "postgres://me:word@host/db",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_a_secret_by_its_looks_is_refused_and_not_shown(value: str) -> None:
    assert looks_secret(value)
    for changes in ({"environment": {"HARMLESS": value}}, {"overrides": [f"tracker={value}"]}):
        with pytest.raises(UsageError, match="looks like a secret") as error:
            job(**changes)
        assert value not in str(error.value)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "NCCL_DEBUG", "KEYBOARD", "STEPS"])
def test_harmless_names_are_no_secrets(name: str) -> None:
    assert not names_a_secret(name)
    assert job(environment={name: 1}).environment == {name: "1"}


@pytest.mark.parametrize("image", ["a/b:1.0", "host:5000/a/b:v1", f"a/b@{DIGEST}", f"a:1@{DIGEST}"])
def test_images_that_name_a_version(image: str) -> None:
    assert job(image=image).image_is_pinned == ("@" in image)


@pytest.mark.parametrize("image", ["a/b", "a/b:latest", "host:5000/a", "a/b@sha256:12", "a b:1"])
def test_images_that_do_not(image: str) -> None:
    with pytest.raises(UsageError, match="image: "):
        job(image=image)


@pytest.mark.parametrize(("minutes", "grace"), [(2, 600), (3, 120), (2, 60), (11, 600)])
def test_a_time_limit_leaves_time_before_the_signal_to_stop(minutes: int, grace: int) -> None:
    least = (grace + 60) // 60 + 1
    with pytest.raises(UsageError, match=f"time_limit_minutes: {minutes} leaves no") as error:
        job(time_limit_minutes=minutes, grace_seconds=grace)
    assert f"grace_seconds: {grace}" in str(error.value)
    assert f"write {least} or more" in str(error.value)
    assert job(time_limit_minutes=least, grace_seconds=grace)
    assert job(grace_seconds=grace), "without a limit there is nothing to outlast"


def test_tolerations_agree_with_their_operator() -> None:
    with pytest.raises(UsageError, match="operator Equal needs a value"):
        job(kubernetes={"tolerations": [{"key": "a", "operator": "Equal"}]})
