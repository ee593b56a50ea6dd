"""The trainer on one process: what a run leaves, and that it goes on as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from schemas.errors import InputError, UsageError
from tests.builders.pretraining import config, losses, metrics, steps_saved, write_text
from training.pretrain import pretrain
from training.trainer import TrainingError


def test_a_run_leaves_its_files(tmp_path: Path) -> None:
    outcome = pretrain(config(tmp_path, samples={"every": 3, "max_new_tokens": 5}))
    run = tmp_path / "run"
    rows = metrics(run)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["loss"] < rows[0]["loss"]
    for key in ("tokens", "lr", "grad_norm", "tokens_per_s", "mfu", "stall"):
        assert all(row[key] >= 0 for row in rows), key
    assert [row["step"] for row in rows if "val_loss" in row] == [3, 6]
    last = rows[-1]
    assert {"val_loss/rivers", "bits_per_byte/mills"} <= last.keys()
    # A byte is a token: bits a byte are nats a token in other units.
    assert last["bits_per_byte"] == pytest.approx(last["val_loss"] / 0.6931472, rel=0.05)
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert [row["step"] for row in samples] == [3, 6]
    assert steps_saved(run) == [4, 6]
    assert list((run / "tensorboard").iterdir())
    record = json.loads((run / "run.json").read_text())
    assert (record["state"], record["step"]) == ("finished", 6)
    assert record["final"]["loss"] == last["loss"]
    assert outcome.signal is None


def test_the_same_configuration_gives_the_same_losses(tmp_path: Path) -> None:
    pretrain(config(tmp_path))
    pretrain(config(tmp_path, output=str(tmp_path / "again")))
    assert losses(tmp_path / "run") == losses(tmp_path / "again")
    pretrain(config(tmp_path, output=str(tmp_path / "other"), seed=2))
    assert losses(tmp_path / "run") != losses(tmp_path / "other")


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, stop_after: Any, name: str) -> None:
    changes: dict[str, Any] = {
        "optimizer": {"lr": 3e-3, "name": name, "ema": 0.9, "spike_factor": 6.0},
        "model": {"preset": "debug-moe", "moe": {"n_experts": 4, "top_k": 2, "balance": "bias"}},
        "schedule": {"name": "cosine", "warmup_steps": 2},
    }
    pretrain(config(tmp_path, output=str(tmp_path / "whole"), **changes))
    stop_after(3)
    stopped = pretrain(config(tmp_path, **changes))
    assert (stopped.record.state, stopped.record.step, stopped.signal) == ("stopped", 3, "SIGTERM")
    assert steps_saved(tmp_path / "run")[-1] == 3
    finished = pretrain(config(tmp_path, **changes))
    assert (finished.record.state, finished.record.starts) == ("finished", 2)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    validations = [
        [row["val_loss"] for row in metrics(tmp_path / name) if "val_loss" in row]
        for name in ("run", "whole")
    ]
    assert validations[0] == validations[1]


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain(config(tmp_path, output=str(tmp_path / "whole"), train={"steps": 8}))
    pretrain(config(tmp_path))
    victim = next((tmp_path / "run/checkpoints/step-6").glob("*.distcp"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    capsys.readouterr()
    pretrain(config(tmp_path, train={"steps": 8}))
    said = capsys.readouterr().err
    assert "step-6" in said
    assert "going on after step 4" in said
    assert [row["step"] for row in metrics(tmp_path / "run")] == list(range(1, 9))


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    pretrain(config(tmp_path))
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    again = pretrain(config(tmp_path))
    assert again.record.state == "finished"
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before
    assert again.record.final["loss"] == losses(tmp_path / "run")[-1]


def test_a_loss_that_is_no_number_stops_before_it_reaches_the_weights(tmp_path: Path) -> None:
    wild = {"lr": 1e38, "clip_norm": None}
    with pytest.raises(
        TrainingError, match=r"step \d+: the loss is nan.*trace .* --step"
    ) as caught:
        pretrain(config(tmp_path, optimizer=wild))
    assert "\n" not in str(caught.value)
    rows = metrics(tmp_path / "run")
    assert rows[-1]["loss"] is None
    assert rows[-1]["skipped"] == "not_finite"
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["state"] == "failed"
    assert "no number" in record["message"] or "nan" in record["message"]


def test_patience_skips_steps_without_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.parallel.model import ParallelModel

    clip, calls = ParallelModel.clip_grad_norm, iter(range(1, 100))
    monkeypatch.setattr(
        ParallelModel,
        "clip_grad_norm",
        lambda self, most: float("nan") if next(calls) in (2, 3) else clip(self, most),
    )
    outcome = pretrain(config(tmp_path, train={"nan_patience": 2}))
    assert outcome.record.state == "finished"
    skipped = [row["step"] for row in metrics(tmp_path / "run") if "skipped" in row]
    assert skipped == [2, 3]


def test_weights_of_another_run_can_be_the_start(tmp_path: Path) -> None:
    pretrain(config(tmp_path))
    changed = config(
        tmp_path, output=str(tmp_path / "second"), init=str(tmp_path / "run"), model=None
    )
    pretrain(changed)
    assert losses(tmp_path / "second")[0] < losses(tmp_path / "run")[0] - 0.1


def test_init_counts_again_when_no_checkpoint_is_whole(tmp_path: Path) -> None:
    pretrain(config(tmp_path))
    second = config(tmp_path, output=str(tmp_path / "second"), init=str(tmp_path / "run"))
    pretrain(second)
    first_losses = losses(tmp_path / "second")
    for path in (tmp_path / "second/checkpoints").glob("step-*/*.distcp"):
        path.write_bytes(b"")
    pretrain(second)
    assert losses(tmp_path / "second") == first_losses


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"model": {"preset": "debug", "vocab_size": 100}}, InputError, "vocab_size"),
        ({"model": {"preset": "debug", "vocab_size": "x"}}, UsageError, "model: vocab_size"),
        ({"parallel": {"tp": 2}}, UsageError, "tp 2"),
        ({"model": {"preset": "huge"}}, UsageError, "model.preset: 'huge' is none of debug"),
        ({"parallel": {"dp_shard": 3}}, UsageError, "there are 1 ranks"),
        ({"train": {"batch_size": 4, "accumulation": 3}}, UsageError, "train.batch_size: 4"),
        ({"tokenizer": None}, UsageError, "tokenizer: data.text needs one"),
        ({"schedule": {"warmup_steps": 9}}, UsageError, "schedule.warmup_steps"),
        ({"data": {"sequence_length": 4_000}}, UsageError, "exceed the model's max_seq_len"),
        (
            {"data": {"sequence_length": 4_000_000}, "model": {"max_seq_len": 4_000_000}},
            InputError,
            "tokens",
        ),
        ({"init": "nowhere"}, InputError, "nowhere"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(
    tmp_path: Path, changed: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught:
        pretrain(config(tmp_path, **changed))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run/config.yaml").exists()
    assert not list((tmp_path / "run").glob("data/*.json")) or "tokens" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"optimizer": {"name": "muon"}}, "optimizer.name"),
        ({"optimizer": {"ema": 0.9}}, "optimizer.ema"),
    ],
)
def test_a_refused_change_leaves_the_run_as_it_was(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    pretrain(config(tmp_path, train={"steps": 2}))
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match=said):
        pretrain(config(tmp_path, **changed))
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


def test_a_shard_that_changed_is_refused(tmp_path: Path) -> None:
    pretrain(config(tmp_path))
    manifest = tmp_path / "run/data/manifest.json"
    data = {"text": None, "manifest": str(manifest)}
    pretrain(config(tmp_path, output=str(tmp_path / "second"), data=data, tokenizer=None))
    shard = next((tmp_path / "run/data/train").glob("*.bin"))
    content = bytearray(shard.read_bytes())
    content[7] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"shard-00000\.bin"):
        pretrain(config(tmp_path, output=str(tmp_path / "third"), data=data, tokenizer=None))
    assert steps_saved(tmp_path / "second") == [4, 6]


def test_other_text_is_not_taken_for_the_same_run(tmp_path: Path) -> None:
    pretrain(config(tmp_path, train={"steps": 4}))
    write_text(tmp_path / "text.jsonl", documents=70)
    with pytest.raises(InputError, match="other data"):
        pretrain(config(tmp_path))
