"""Runs that train adapters: what they save, go on from, and stand for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from model.adapters.peft_folder import open_peft
from model.decoder import Decoder
from model.pretrained import load_pretrained, open_weights
from model.weights import build
from pipelines.cli.main import app
from schemas.errors import InputError, UsageError
from tests.builders.pretraining import config, losses
from training.adapters.adaptation import trained_parameters
from training.checkpoint import read_tensors
from training.checkpoint.folder import candidates
from training.config import PretrainConfig
from training.pretrain import pretrain

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4, "targets": ["q_proj", "v_proj", "ffn.*"]},
    "rslora": {"rank": 4, "rslora": True},
    "dora": {"rank": 2, "dora": True},
    "nf4": {"rank": 4, "quantize": "nf4"},
    "dropout": {"rank": 4, "dropout": 0.3},
    "budget": {"rank": 4, "budget": {"target_rank": 2, "start": 1, "end": 4, "every": 1}},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    pretrain(config(folder, train={"steps": 2}))
    return folder / "run"


def run_config(folder: Path, base: Path, **changed: Any) -> PretrainConfig:
    folder.mkdir(exist_ok=True)
    return config(folder, **{"init": str(base), "model": None, **changed})


def train(folder: Path, base: Path, **changed: Any) -> Path:
    pretrain(run_config(folder, base, **changed))
    return folder / "run"


def tokens() -> torch.Tensor:
    return torch.randint(200, (2, 20), generator=torch.Generator().manual_seed(3))


def logits(decoder: Decoder) -> torch.Tensor:
    with torch.no_grad():
        return decoder(tokens())


@pytest.mark.parametrize("lora", METHODS.values(), ids=METHODS)
def test_a_checkpoint_holds_adapters_and_stands_for_the_model(
    tmp_path: Path, base: Path, lora: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.trainer

    held: list[Any] = []
    assemble = training.trainer.assemble
    monkeypatch.setattr(
        training.trainer, "assemble", lambda *a: held.append(assemble(*a)) or held[0]
    )
    run = train(tmp_path, base, lora=lora)
    (decoder,) = held[0].parallel.parts
    ref = candidates(run / "checkpoints")[0]
    saved = read_tensors(ref)
    counts = trained_parameters([decoder])
    assert sum(t.numel() for t in saved.values()) == counts.trained < counts.every / 3
    record = json.loads((run / "run.json").read_text())
    assert record["trained_parameters"] == counts.trained
    assert record["parameters"] == counts.every - counts.trained
    assert {name.split(".")[-1] for name in saved} <= {"lora_a", "lora_b", "lora_e", "magnitude"}
    merged = load_pretrained(run)
    torch.testing.assert_close(logits(merged), logits(decoder), atol=1e-5, rtol=1e-5)
    assert (logits(merged) - logits(load_pretrained(base))).abs().max() > 1e-3
    for name in ("embedding.weight", "norm.weight", "head.weight"):
        assert torch.equal(open_weights(run).tensor(name), open_weights(base).tensor(name))
    if "budget" in lora:
        left = sum(int((t != 0).sum()) for n, t in saved.items() if n.endswith("lora_e"))
        assert left == 7 * 2


@pytest.mark.parametrize("lora", [METHODS[n] for n in ("dropout", "nf4", "budget")], ids=str)
def test_a_run_goes_on_where_it_was(
    tmp_path: Path, base: Path, stop_after: Any, lora: dict[str, Any]
) -> None:
    straight = train(tmp_path / "straight", base, lora=lora)
    stop_after(3)
    resumed = train(tmp_path / "resumed", base, lora=lora)
    assert len(losses(resumed)) == 3
    train(tmp_path / "resumed", base, lora=lora)
    assert losses(resumed) == losses(straight)
    first, second = (read_tensors(candidates(r / "checkpoints")[0]) for r in (straight, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_base_that_is_gone_or_another_is_told(tmp_path: Path, base: Path) -> None:
    own = tmp_path / "base"
    shutil.copytree(base, own)
    run = train(tmp_path, own, lora={"rank": 2})
    own.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"adapter\.json: the base .* cannot be opened") as error:
        open_weights(run)
    assert "\n" not in str(error.value)
    pretrain(config(tmp_path, output=str(own), train={"steps": 1}, seed=9))
    with pytest.raises(InputError, match="holds other weights than these adapters"):
        load_pretrained(run)
    with pytest.raises(InputError, match="holds other weights than these adapters"):
        train(tmp_path, own, lora={"rank": 2})


def test_a_base_that_trains_further_stays_the_base(tmp_path: Path, stop_after: Any) -> None:
    """Its own checkpoint is opened as long as it is there."""
    constant: dict[str, Any] = {"schedule": {"name": "constant"}, "checkpoint": {"every": 2}}
    own = tmp_path / "own"
    pretrain(config(tmp_path, output=str(own), train={"steps": 2}, **constant))
    run = train(tmp_path, own, lora={"rank": 2})
    expected = logits(load_pretrained(run))
    stop_after(3)
    stopped = train(tmp_path / "stopped", own, lora={"rank": 2})
    pretrain(config(tmp_path, output=str(own), train={"steps": 4}, **constant))
    assert torch.equal(logits(load_pretrained(run)), expected)
    train(tmp_path / "stopped", own, lora={"rank": 2})
    assert losses(stopped) == losses(run)
    shutil.rmtree(own / "checkpoints" / "step-2")
    with pytest.raises(InputError, match="holds other weights than these adapters"):
        open_weights(run)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"init": None, "model": {"preset": "debug"}}, "lora: needs weights to train beside"),
        ({"lora": {"targets": ["experts"]}}, "'experts' is no linear layer of this model"),
        ({"prompt_tuning": {"tokens": 3}}, "prompt_tuning: does not go with lora"),
        ({"lora": {"rank": 2, "budget": {"target_rank": 2, "end": 4}}}, "is not below rank 2"),
        (
            {"lora": METHODS["budget"], "train": {"steps": 3}},
            "lora.budget.end: 4 is after the last",
        ),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, base: Path, changed: dict[str, Any], message: str
) -> None:
    from pydantic import ValidationError

    with pytest.raises((UsageError, ValidationError), match=message):
        pretrain(run_config(tmp_path, base, **{"lora": {"rank": 2}, **changed}))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_another_rank_is_another_run(tmp_path: Path, base: Path) -> None:
    train(tmp_path, base, lora={"rank": 2})
    with pytest.raises(UsageError, match=r"holds a run with lora\.rank: 2, not 4"):
        train(tmp_path, base, lora={"rank": 4})


@pytest.mark.parametrize("method", ["rslora", "dora", "budget"])
def test_exports_are_the_model(tmp_path: Path, base: Path, method: str) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    def call(*arguments: str) -> None:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output

    call("export", str(base), "--output", str(tmp_path / "base-hf"))
    run = train(tmp_path, tmp_path / "base-hf", lora=METHODS[method])
    expected = logits(load_pretrained(run))
    call("export", str(run), "--output", str(tmp_path / "hf"))
    call("export", str(run), "--output", str(tmp_path / "peft"), "--format", "peft")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    keys = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert keys["base_model_name_or_path"] == str(tmp_path / "base-hf")
    bare = AutoModelForCausalLM.from_pretrained(tmp_path / "base-hf")
    adapted = peft.PeftModel.from_pretrained(bare, str(tmp_path / "peft"))
    for model in (whole, adapted):
        with torch.no_grad():
            torch.testing.assert_close(model(tokens()).logits, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        logits(load_pretrained(tmp_path / "peft")), expected, atol=1e-5, rtol=1e-5
    )
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tmp_path / "base-hf" / name, tmp_path / "peft")
    torch.testing.assert_close(
        logits(load_pretrained(tmp_path / "peft")), expected, atol=1e-5, rtol=1e-5
    )
    call("import", str(tmp_path / "peft"), "--output", str(tmp_path / "imported"))
    assert (tmp_path / "imported" / "tokenizer").is_dir()
    again = load_pretrained(tmp_path / "imported")
    torch.testing.assert_close(logits(again), expected, atol=1e-5, rtol=1e-5)
    if method == "budget":
        ranks = [
            len(t)
            for n, t in load_file(tmp_path / "peft" / "adapter_model.safetensors").items()
            if n.endswith("lora_A.weight")
        ]
        assert min(ranks) < 4


def test_training_starts_from_an_adapter_of_peft(tmp_path: Path, base: Path) -> None:
    run = train(tmp_path, base, lora={"rank": 2})
    result = CliRunner().invoke(
        app, ["export", str(run), "--output", str(tmp_path / "peft"), "--format", "peft"]
    )
    assert result.exit_code == 0, result.output
    lora = {"rank": 2, "start": str(tmp_path / "peft")}
    again = train(tmp_path / "more", base, lora=lora, train={"steps": 1}, optimizer={"lr": 1e-12})
    torch.testing.assert_close(
        logits(load_pretrained(again)), logits(load_pretrained(run)), atol=1e-5, rtol=1e-5
    )
    dora = train(
        tmp_path / "dora",
        base,
        lora={**lora, "dora": True},
        train={"steps": 1},
        optimizer={"lr": 1e-12},
    )
    torch.testing.assert_close(
        logits(load_pretrained(dora)), logits(load_pretrained(run)), atol=1e-5, rtol=1e-5
    )
    with pytest.raises(UsageError, match=r"lora\.rank: 4, but .* has 2"):
        train(tmp_path / "other", base, lora={**lora, "rank": 4})


def test_a_run_that_goes_on_needs_no_start(tmp_path: Path, base: Path, stop_after: Any) -> None:
    first = train(tmp_path, base, lora={"rank": 2})
    folder = tmp_path / "peft"
    result = CliRunner().invoke(
        app, ["export", str(first), "--output", str(folder), "--format", "peft"]
    )
    assert result.exit_code == 0, result.output
    lora = {"rank": 2, "start": str(folder)}
    stop_after(3)
    run = train(tmp_path / "more", base, lora=lora)
    shutil.rmtree(folder)
    train(tmp_path / "more", base, lora=lora)
    assert len(losses(run)) == 6


def test_a_run_without_adapters_has_none_to_export(tmp_path: Path, base: Path) -> None:
    result = CliRunner().invoke(
        app, ["export", str(base), "--output", str(tmp_path / "peft"), "--format", "peft"]
    )
    assert isinstance(result.exception, UsageError)
    assert "holds a whole model, no adapters" in str(result.exception)


def test_the_moving_average_of_adapters_is_exported(tmp_path: Path, base: Path) -> None:
    run = train(tmp_path, base, lora={"rank": 2}, optimizer={"lr": 0.02, "ema": 0.5})

    def exported(name: str, *options: str) -> torch.Tensor:
        arguments = ["export", str(run), "--output", str(tmp_path / name), *options]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        if "peft" in options:
            weights = open_peft(tmp_path / name, open_weights, base)
            return logits(build(weights, torch.device("cpu"), torch.float32))
        return logits(load_pretrained(tmp_path / name))

    average = exported("hf", "--ema")
    torch.testing.assert_close(
        exported("peft", "--ema", "--format", "peft"), average, atol=1e-5, rtol=1e-5
    )
    assert (average - logits(load_pretrained(run))).abs().max() > 1e-4


def test_the_moving_average_keeps_the_budget(tmp_path: Path, base: Path) -> None:
    run = train(tmp_path, base, lora=METHODS["budget"], optimizer={"ema": 0.9}, train={"steps": 6})
    averages = read_tensors(candidates(run / "checkpoints")[0], "ema")
    left = sum(int((t != 0).sum()) for n, t in averages.items() if n.endswith("lora_e"))
    assert left == 7 * 2


@pytest.mark.parametrize("method", ["lora", "dora", "nf4"])
def test_bfloat16_stays_near_float32(tmp_path: Path, base: Path, method: str) -> None:
    found, expected = (
        losses(train(tmp_path / dtype, base, lora=METHODS[method], dtype=dtype))
        for dtype in ("bfloat16", "float32")
    )
    assert found == pytest.approx(expected, rel=0.01)
    assert found != expected


def test_muon_trains_adapters(tmp_path: Path, base: Path) -> None:
    def last(name: str, lr: float) -> float:
        optimizer = {"name": "muon", "lr": lr}
        return losses(train(tmp_path / name, base, lora={"rank": 4}, optimizer=optimizer))[-1]

    assert last("learning", 0.01) < last("still", 1e-12) - 0.01


def test_adapters_whose_base_is_elsewhere(tmp_path: Path, base: Path) -> None:
    run = train(tmp_path, base, lora={"rank": 2})
    place = tmp_path / "peft"
    result = CliRunner().invoke(
        app, ["export", str(run), "--output", str(place), "--format", "peft"]
    )
    assert result.exit_code == 0, result.output
    with pytest.raises(InputError, match="base_model_name_or_path None is no folder here"):
        load_pretrained(place)
    arguments = ["import", str(place), "--base", str(base), "--output", str(tmp_path / "imported")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    found, expected = (logits(load_pretrained(p)) for p in (tmp_path / "imported", run))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
