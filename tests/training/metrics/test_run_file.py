"""run.json over starts, kills and ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from schemas.errors import InputError
from schemas.training_run import TrainingRunV1, config_hash
from training.metrics.environment import command, environment, versions
from training.metrics.run_file import RUN_NAME, RunFile, now


def record() -> TrainingRunV1:
    return TrainingRunV1(
        stage="pretrain",
        command=command(),
        versions=versions(),
        environment=environment(torch.device("cpu")),
        world_size=1,
        config_hash=config_hash({"a": 1}),
        parameters=10,
        active_parameters=8,
        flops_per_token=60.0,
        started=now(),
        steps=100,
    )


def read(folder: Path) -> TrainingRunV1:
    path = folder / RUN_NAME
    return TrainingRunV1.from_bytes(path.read_bytes(), path)


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    times = iter([0.0, 1.0, 5.0, 9.0])
    run = RunFile(tmp_path / "run", record(), clock=lambda: next(times))
    assert read(tmp_path / "run").state == "running"
    run.update(50, 5000, {"loss": 2.0})
    halfway = read(tmp_path / "run")
    assert (halfway.step, halfway.tokens, halfway.seconds) == (50, 5000, 5.0)
    run.end("finished")
    ended = read(tmp_path / "run")
    assert (ended.state, ended.seconds, ended.final) == ("finished", 9.0, {"loss": 2.0})
    assert [p.name for p in (tmp_path / "run").iterdir()] == [RUN_NAME]


def test_a_resumed_run_keeps_one_account(tmp_path: Path) -> None:
    times = iter([0.0, 1.0, 4.0])
    first = RunFile(tmp_path, record(), clock=lambda: next(times))
    first.end("stopped", "signal 15,\ncheckpoint written")
    stopped = read(tmp_path)
    assert stopped.message == "signal 15, checkpoint written"
    times = iter([10.0, 11.0])
    RunFile(tmp_path, record(), resumed=True, clock=lambda: next(times))
    resumed = read(tmp_path)
    assert (resumed.state, resumed.starts, resumed.message) == ("running", 2, None)
    assert resumed.seconds == 5.0
    assert resumed.started == stopped.started


def test_a_loss_that_is_no_number_is_valid_json(tmp_path: Path) -> None:
    run = RunFile(tmp_path, record())
    run.update(1, 10, {"loss": float("nan"), "lr": 0.1})
    run.end("failed", "loss is not a number at step 1")
    text = (tmp_path / RUN_NAME).read_text()
    assert "NaN" not in text
    assert json.loads(text)["final"] == {"loss": None, "lr": 0.1}


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / RUN_NAME).write_text('{"stage": "pretrain"}')
    with pytest.raises(InputError, match=r"not a training run's record: command"):
        RunFile(tmp_path, record(), resumed=True)


def test_the_hash_of_a_configuration_ignores_order() -> None:
    assert config_hash({"a": 1, "b": {"c": 2, "d": 3}}) == config_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert config_hash({"a": 1}) != config_hash({"a": 2})


def test_the_environment_says_what_computed() -> None:
    facts = environment(torch.device("cpu"))
    assert facts["device"] == "cpu"
    assert facts["cpu"]
    assert torch.__version__.startswith(versions()["torch"])


def test_a_token_on_the_command_line_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/x/corpusmill", "pretrain", "--set", "a=hf_" + "a" * 30])
    assert command() == ["corpusmill", "pretrain", "--set", "..."]
