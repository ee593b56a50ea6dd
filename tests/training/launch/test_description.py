from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.errors import InputError, UsageError
from tests.builders.jobs import job_tree, launch_of
from training.launch import Launch, read_launch


def written(
    folder: Path, parallel: Any = None, config: str = "configs/a.yaml", **changes: Any
) -> Path:
    (folder / "configs").mkdir(exist_ok=True)
    tree: dict[str, Any] = {
        "data": {"manifest": "/data/manifest.json"},
        "model": {"preset": "1b"},
        "train": {"steps": 10, "batch_size": 8},
    }
    if parallel is not None:
        tree["parallel"] = parallel
    (folder / "configs/a.yaml").write_text(yaml.safe_dump(tree))
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job_tree(config=config, **changes)))
    return path


def test_a_relative_configuration_travels_with_the_job(tmp_path: Path) -> None:
    launch = read_launch(written(tmp_path))
    assert launch.config_text == (tmp_path / "configs/a.yaml").read_text()
    assert launch.config_path("/etc") == "/etc/demo.yaml"


def test_an_absolute_configuration_stays_where_the_job_finds_it(tmp_path: Path) -> None:
    launch = read_launch(written(tmp_path, config="/data/elsewhere.yaml"))
    assert launch.config_text is None
    assert launch.config_path("/etc") == "/data/elsewhere.yaml"


def test_an_absolute_configuration_at_hand_is_checked_too(tmp_path: Path) -> None:
    path = written(tmp_path, {"tp": 3}, config=str(tmp_path / "configs/a.yaml"))
    with pytest.raises(UsageError, match="tp 3 = 3 does not divide"):
        read_launch(path)


def test_a_missing_relative_configuration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b\.yaml: cannot be read"):
        read_launch(written(tmp_path, config="configs/b.yaml"))


def test_overrides_of_the_description(tmp_path: Path) -> None:
    path = written(tmp_path)
    launch = read_launch(path, ["nodes=3", "slurm.partition=big", "environment.A=1"])
    assert (launch.job.nodes, launch.job.slurm.partition) == (3, "big")
    assert launch.job.environment == {"A": "1"}
    for override, message in [
        ("nodes", "write key=value"),
        ("nodes.x=1", "nodes holds a value, not keys"),
        ("nodse=1", "unknown key nodse; did you mean nodes"),
        ("nodes=[", "the value is not YAML"),
    ]:
        with pytest.raises(UsageError, match=message):
            read_launch(path, [override])


@pytest.mark.parametrize(
    "parallel",
    [
        {},
        {"dp_replicate": 2, "dp_shard": 4},
        {"dp_shard": -1, "tp": 4, "pp": 2, "pp_parts": 2},
        {"tp": 2, "cp": 2, "ep": 4},
    ],
)
def test_degrees_that_fit_eight_gpus(tmp_path: Path, parallel: dict[str, int]) -> None:
    read_launch(written(tmp_path, parallel))


@pytest.mark.parametrize(
    ("parallel", "message"),
    [
        ({"dp_shard": 16}, r"parallel: dp_shard 16 = 16 does not divide 2 x 4 = 8 GPUs"),
        ({"tp": 2, "pp": 3}, r"parallel: tp 2 \* pp 3 = 6 does not divide"),
        ({"ep": 3}, r"parallel\.ep: 3 does not divide dp_shard \* cp = 8"),
        ({"tp": 2, "ep": 8}, r"parallel\.ep: 8 does not divide dp_shard \* cp = 4"),
        ({"dp_shard": 2, "tp": 2}, r"= 4 of 2 x 4 = 8 GPUs.*set dp_shard to -1"),
        ({"tp": 8}, r"parallel\.tp: 8 does not divide the 4 GPUs of a node"),
        ({"tp": 0}, r"parallel\.tp: a whole number from 1 on, not 0"),
        ({"tp": True}, r"parallel\.tp: a whole number from 1 on, not True"),
        ({"dp_replicate": -1}, r"parallel\.dp_replicate: a whole number"),
        ([1], r"parallel: a section is needed"),
    ],
)
def test_degrees_that_do_not(tmp_path: Path, parallel: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_launch(written(tmp_path, parallel))


def test_a_key_that_the_trainer_does_not_know_is_named_before_the_job_starts(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, overrides=["train.stepz=4"])
    with pytest.raises(UsageError, match=r"a\.yaml: unknown key train\.stepz; did you mean steps"):
        read_launch(path)


def test_overrides_count_before_degrees_are_checked(tmp_path: Path) -> None:
    path = written(tmp_path, {"dp_shard": 4}, overrides=["parallel.dp_replicate=4"])
    with pytest.raises(UsageError, match=r"dp_replicate 4 \* dp_shard 4 = 16"):
        read_launch(path)
    assert read_launch(path, ["nodes=4"]).job.processes == 16


def test_a_secret_in_the_configuration_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "configs/a.yaml").write_text("tracker: hf_" + "a" * 34)
    with pytest.raises(UsageError, match="holds what looks like a secret") as error:
        read_launch(path)
    assert "aaaa" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "a mapping of keys is needed, not list"),
        ("a: [", "not YAML"),
        ("name: a\nname: b", "given twice"),
        ("1: 2", "a mapping of keys"),
    ],
)
def test_what_is_no_description(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        read_launch(path)
    assert "\n" not in str(error.value)


def test_an_image_that_may_move_is_a_warning() -> None:
    def warnings(**changes: Any) -> list[str]:
        launch: Launch = launch_of(**changes)
        return launch.warnings()

    assert warnings() == []
    assert len(warnings(image="a/b:1")) == 1
    assert warnings(image=None) == []
