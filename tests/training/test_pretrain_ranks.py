"""`corpusmill pretrain` as its users start it: under torchrun, stopped and killed by signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("torch")

from tests.builders.pretraining import config, losses, metrics, steps_saved, tree
from training.pretrain import pretrain

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from pipelines.cli import main; main()", "pretrain"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]


def start(folder: Path, ranks: int, **changed: Any) -> subprocess.Popen[str]:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree(folder, **changed)))
    launcher = [*TORCHRUN, "--nproc-per-node", str(ranks)] if ranks > 1 else []
    return subprocess.Popen(
        [*launcher, *COMMAND, str(path)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err[-2000:]
    return out, err


def wait_for_step(process: subprocess.Popen[str], run: Path, step: int) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end and process.poll() is None:
        if (run / "metrics.jsonl").exists() and len(metrics(run)) >= step:
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"no step {step}: {process.communicate()[1][-2000:]}")


@pytest.mark.slow
def test_two_ranks_train_what_one_does_and_one_goes_on_for_them(tmp_path: Path) -> None:
    pretrain(config(tmp_path, output=str(tmp_path / "alone"), train={"steps": 8}))
    short: dict[str, Any] = {"schedule": {"name": "constant"}}
    pretrain(config(tmp_path, output=str(tmp_path / "alone2"), train={"steps": 8}, **short))
    sharded = {"parallel": {"dp_shard": 2}, **short}
    out, _ = finish(start(tmp_path, 2, train={"steps": 4}, **sharded))
    assert out.count("finished after step 4 of 4") == 1
    pretrain(config(tmp_path, train={"steps": 8}, **short))
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "alone2"), abs=1e-5)
    validation = [row["val_loss"] for row in metrics(tmp_path / "alone2") if "val_loss" in row]
    again = [row["val_loss"] for row in metrics(tmp_path / "run") if "val_loss" in row]
    # The short run also validated at its end, after step 4.
    assert [again[0], *again[2:]] == pytest.approx(validation, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_sigterm_saves_and_ends_cleanly(tmp_path: Path, ranks: int) -> None:
    changed = {"train": {"steps": 100_000}, "checkpoint": {"every": 100_000}}
    layout: dict[str, Any] = {"parallel": {"dp_shard": ranks}}
    process = start(tmp_path, ranks, **changed, **layout)
    run = tmp_path / "run"
    wait_for_step(process, run, 3)
    process.send_signal(signal.SIGTERM)
    if ranks == 1:
        out, _ = finish(process)
        assert "stopped after step" in out
    else:
        process.communicate(timeout=300)  # torchrun itself ends with an error of its own
    (step,) = steps_saved(run)
    assert step == len(metrics(run))


@pytest.mark.slow
def test_a_killed_run_repeats_its_losses_bit_for_bit(tmp_path: Path) -> None:
    steps = {"train": {"steps": 40}, "checkpoint": {"every": 5}}
    pretrain(config(tmp_path, output=str(tmp_path / "whole"), **steps))
    for step in (7, 16, 23):
        process = start(tmp_path, 1, **steps)
        wait_for_step(process, tmp_path / "run", step)
        process.kill()
        process.communicate()
    finish(start(tmp_path, 1, **steps))
    assert [row["step"] for row in metrics(tmp_path / "run")] == list(range(1, 41))
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_a_misspelt_key_is_named(tmp_path: Path) -> None:
    process = start(tmp_path, 1, train={"stepz": 3})
    _, err = finish(process, code=2)
    assert "unknown key train.stepz; did you mean steps?" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_ranks_that_do_not_fit_say_so_once(tmp_path: Path) -> None:
    process = start(tmp_path, 2, parallel={"dp_shard": 3})
    _, err = process.communicate(timeout=300)
    assert process.returncode
    assert err.count("error: parallel:") == 1
    assert not (tmp_path / "run" / "config.yaml").exists()
