"""Adapters and virtual tokens in supervised fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from model.decoder import Decoder
from model.generate import generate
from model.pretrained import load_pretrained
from pipelines.cli.main import app
from pipelines.cli.training_run import summary
from schemas.errors import UsageError
from tests.builders.conversations import config
from tests.builders.pretraining import losses, metrics
from training.checkpoint import read_tensors
from training.checkpoint.folder import candidates
from training.sft.stage import sft

WAYS: dict[str, dict[str, Any]] = {
    "lora": {"lora": {"rank": 4}},
    "lora noise": {"lora": {"rank": 4}, "neftune_alpha": 5.0},
    "prompt": {"prompt_tuning": {"tokens": 6}},
    "prefix": {"prompt_tuning": {"kind": "prefix", "tokens": 6, "init": "Answer with zeds."}},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    sft(config(folder, train={"steps": 8}))
    return folder / "run"


def run_of(folder: Path, base: Path, **changed: Any) -> Path:
    folder.mkdir(exist_ok=True)
    constant = {"schedule": {"name": "constant"}, "optimizer": {"lr": 0.02}}
    sft(config(folder, **{"init": str(base), "model": None, **constant, **changed}))
    return folder / "run"


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_run_learns_and_goes_on_where_it_was(
    tmp_path: Path, base: Path, way: dict[str, Any]
) -> None:
    asked = {"eval": {"every": 6, "max_new_tokens": 6}}
    straight = run_of(tmp_path / "straight", base, **way, **asked)
    run_of(tmp_path / "resumed", base, **way, **asked, train={"steps": 4})
    resumed = run_of(tmp_path / "resumed", base, **way, **asked)
    assert losses(resumed) == losses(straight)
    validated = [row["val_loss"] for row in metrics(straight) if "val_loss" in row]
    assert validated[-1] < validated[0]
    first, second = (read_tensors(candidates(r / "checkpoints")[0]) for r in (straight, resumed))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert sum(t.numel() for t in first.values()) < 15_000


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_virtual_tokens_are_exported(tmp_path: Path, base: Path, kind: str) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments))

    assert call("export", str(base), "--output", str(tmp_path / "base")).exit_code == 0
    run = run_of(tmp_path, base, prompt_tuning={"tokens": 5, "kind": kind})
    found = call("export", str(run), "--output", str(tmp_path / "peft"), "--format", "peft")
    assert found.exit_code == 0, found.output
    refused = call("export", str(run), "--output", str(tmp_path / "hf"))
    assert isinstance(refused.exception, UsageError)
    assert "--format peft" in str(refused.exception)
    bare = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(bare, str(tmp_path / "peft"))
    tokens = torch.randint(200, (2, 15), generator=torch.Generator().manual_seed(2))
    decoder = load_pretrained(run)
    with torch.no_grad():
        expected = theirs(tokens).logits[:, -15:]
        torch.testing.assert_close(decoder(tokens), expected, atol=1e-5, rtol=1e-5)
    assert isinstance(decoder, Decoder)
    assert len(generate(decoder, [[1, 2]], max_new_tokens=4, temperature=0)[0].tokens) == 4
    shown = call("generate", str(run), "--prompt", "5 and 3", "--max-new-tokens", "4", "--json")
    assert shown.exit_code == 0, shown.output


def test_the_last_line_names_a_format_that_there_is(tmp_path: Path, base: Path) -> None:
    adapted = {"init": str(base), "model": None, "prompt_tuning": {"tokens": 3}}
    for changed, form in (({}, "hf"), (adapted, "peft")):
        folder = tmp_path / form
        folder.mkdir()
        said = summary(sft(config(folder, train={"steps": 1}, **changed)))
        assert said.splitlines()[-1].endswith(f"run --format {form} --output DIR")


def test_a_start_from_text_is_that_text_in_front(tmp_path: Path, base: Path) -> None:
    text = "Zeds."
    way = {"prompt_tuning": {"kind": "prefix", "tokens": len(text), "init": text}}
    run = run_of(tmp_path, base, **way, train={"steps": 1}, optimizer={"lr": 1e-12})
    tokens = torch.randint(200, (2, 15), generator=torch.Generator().manual_seed(2))
    front = torch.tensor([list(text.encode())] * 2)
    with torch.no_grad():
        found = load_pretrained(run)(tokens)
        expected = load_pretrained(base)(torch.cat((front, tokens), dim=1))[:, len(text) :]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": {"packing": "best_fit"}}, "data.packing best_fit puts several documents"),
        ({"init": None, "model": {"preset": "debug"}}, "needs weights to train beside"),
    ],
    ids=["packing", "no init"],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, base: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_of(tmp_path, base, prompt_tuning={"tokens": 3}, **changed)
