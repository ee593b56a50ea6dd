"""A run's folder: whose it is, and what may change when the run goes on."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import OutputError, UsageError
from training.config import PretrainConfig
from training.run_folder import RunFolder


def config(folder: Path, **changed: Any) -> PretrainConfig:
    tree: dict[str, Any] = {
        "output": str(folder),
        "data": {"manifest": "m.json", "sequence_length": 64},
        "model": {"preset": "debug"},
        "train": {"steps": 10, "batch_size": 4},
    }
    return PretrainConfig.model_validate(tree | changed)


def test_a_new_folder_gets_the_whole_tree(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.claim(config(folder.path), "pretrain") == []
    stored = folder.stored()
    assert stored["stage"] == "pretrain"
    assert stored["optimizer"]["lr"] == 3e-4
    assert PretrainConfig.model_validate({k: v for k, v in stored.items() if k != "stage"})


def test_the_same_configuration_goes_on_without_a_word(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(config(folder.path), "pretrain")
    assert folder.claim(config(folder.path), "pretrain") == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 2}, "seed: 1, not 2"),
        ({"model": {"preset": "10m"}}, "model.preset: 'debug', not '10m'"),
        ({"train": {"steps": 10, "batch_size": 8}}, "train.batch_size: 4, not 8"),
        ({"data": {"manifest": "m.json", "sequence_length": 32}}, "data.sequence_length: 64"),
        ({"data": {"text": ["a"], "sequence_length": 64, "packing": "best_fit"}}, "data.packing"),
    ],
)
def test_what_fixes_the_run_cannot_change(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(config(folder.path), "pretrain")
    before = folder.config.read_bytes()
    with pytest.raises(UsageError) as caught:
        folder.claim(config(folder.path, **changed), "pretrain")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert folder.config.read_bytes() == before


def test_what_may_change_is_said(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(config(folder.path), "pretrain")
    changed = config(
        folder.path,
        train={"steps": 20, "batch_size": 4},
        optimizer={"lr": 0.001},
        data={"manifest": "moved/m.json", "sequence_length": 64, "prefetch": 0},
    )
    notices = folder.claim(changed, "pretrain")
    assert any("train.steps: 10, now 20" in notice for notice in notices)
    assert any("optimizer.lr: 0.0003, now 0.001" in notice for notice in notices)
    assert folder.stored()["train"]["steps"] == 20
    assert folder.stored()["data"]["manifest"] == str(Path("moved/m.json").absolute())


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.txt, which no training run left"):
        RunFolder(tmp_path).claim(config(tmp_path), "pretrain")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        RunFolder(tmp_path / "run").claim(config(tmp_path), "pretrain")


def _lock_and_wait(path: Path, taken: Any, done: Any) -> None:
    with RunFolder(path).locked():
        taken.set()
        done.wait(30)


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    taken, done = context.Event(), context.Event()
    other = context.Process(target=_lock_and_wait, args=(tmp_path, taken, done))
    other.start()
    try:
        assert taken.wait(30)
        with pytest.raises(OutputError, match="another process"), RunFolder(tmp_path).locked():
            pass
    finally:
        done.set()
        other.join()
    with RunFolder(tmp_path).locked():
        pass
