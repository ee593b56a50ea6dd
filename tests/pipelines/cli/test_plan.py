"""`corpusmill plan` from a budget, from data and from a configuration; wrong use in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import run
from schemas.shards import ShardChecksums, ShardEntry, ShardManifestV1, TokenizerFile

CONFIG = """
output: RUN
data: {manifest: %s, sequence_length: 2048}
model: {preset: 124m}
dtype: bfloat16
train: {steps: 1000, batch_size: 64, accumulation: 2}
parallel: {dp_shard: -1}
"""


def plan(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert run(["plan", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    sums = ShardChecksums(bin="0", idx="0")
    found = ShardManifestV1(
        tokenizer=TokenizerFile(file="t.json", sha256="0"),
        vocab_size=50_304,
        eos_id=0,
        dtype="uint16",
        shards=[
            ShardEntry(path="a", split="train", docs=10, tokens=50_000_000, sha256=sums),
            ShardEntry(path="b", split="validation", docs=10, tokens=7_000_000, sha256=sums),
        ],
        recipe_hash="0",
        fingerprint="0",
    )
    path = tmp_path / "manifest.json"
    path.write_text(found.to_json())
    return path


def test_gpus_and_days_are_a_budget(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "--gpus", "8", "--days", "2", "--gpu", "A100", "--mfu", "0.5")
    flops = 8 * 2 * 86_400 * 312e12 * 0.5
    for choice in found["choices"]:
        assert 6 * choice["parameters"] * choice["tokens"] == pytest.approx(flops)
    for one in found["runs"]:
        days = one["flops"] / (8 * 312e12 * 0.5 * 86_400)
        assert one["days"] == pytest.approx(days)
        assert one["memory"]["none"]["total"] == sum(
            value for part, value in one["memory"]["none"].items() if part != "total"
        )


def test_the_data_bring_vocabulary_and_tokens(
    capsys: pytest.CaptureFixture[str], manifest: Path
) -> None:
    found = plan(capsys, "--manifest", manifest)
    assert {choice["tokens"] for choice in found["choices"]} == {50_000_000}
    assert {one["config"]["vocab_size"] for one in found["runs"]} == {50_304}
    assert found["notes"] == []


def test_a_configuration_on_eight_devices(
    capsys: pytest.CaptureFixture[str], manifest: Path, tmp_path: Path
) -> None:
    path = tmp_path / "pretrain.yaml"
    path.write_text(CONFIG % manifest)
    found = plan(capsys, path, "--gpus", "8", "--gpu", "A100")
    (one,) = found["runs"]
    assert one["tokens"] == 1000 * 64 * 2048
    assert one["layout"]["dp_shard"] == 8
    assert one["parameters"] == 12 * (4 * 768**2 + 3 * 768 * 2048 + 2 * 768) + 768 * 50_305
    assert found["choices"][0]["epochs"] == pytest.approx(131_072_000 / 50_000_000)
    assert "2.6 passes" in found["notes"][0]
    half = plan(capsys, path, "--gpus", "4", "--gpu", "A100", "--set", "train.accumulation=4")
    assert half["runs"][0]["days"] == pytest.approx(2 * one["days"])
    # Sixteen sequences a rank in four parts, where eight came in two.
    activations = half["runs"][0]["memory"]["none"]["activations"]
    assert activations == one["memory"]["none"]["activations"]


def test_without_the_data_a_configuration_needs_a_vocabulary(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "pretrain.yaml"
    path.write_text(CONFIG % "nowhere.json")
    assert run(["plan", str(path)]) == 2
    assert "give --vocab" in capsys.readouterr().err
    found = plan(capsys, path, "--vocab", "32768")
    assert "nowhere.json" in found["notes"][0]


def test_the_tables_name_what_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--params", "70b", "--gpus", "2", "--gpu", "RTX 4090"]) == 0
    shown = capsys.readouterr().out
    assert "(too much)" in shown
    assert "tokens a parameter" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to plan from"),
        (["--flops", "many"], "--flops 'many'"),
        (["--flops", "1e21", "--days", "2"], "leave one out"),
        (["--flops", "1e21", "--tokens", "1e9", "--params", "1e9"], "leave one out"),
        (["--params", "1b", "--gpu", "H900"], "known: A100"),
        (["--params", "1b", "--set", "a=b"], "none is given"),
        (["x.yaml", "--flops", "1e21"], "leave out the budget"),
    ],
)
def test_wrong_use_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(["plan", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("parallel.tp=3", "parallel"),
        ("train.batch_size=10", "train.batch_size"),
        ("model.preset=7z", "model.preset"),
    ],
)
def test_a_configuration_that_cannot_run_is_refused(
    capsys: pytest.CaptureFixture[str], manifest: Path, tmp_path: Path, change: str, said: str
) -> None:
    path = tmp_path / "pretrain.yaml"
    path.write_text(CONFIG % manifest)
    assert run(["plan", str(path), "--gpus", "8", "--set", change]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
