"""A model from whatever folder holds one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import model
from model.config import ModelConfig
from model.decoder import Decoder
from model.huggingface import save_huggingface
from model.pretrained import open_weights
from schemas.errors import InputError
from training.checkpoint import Checkpoints
from training.optim import model_state

SHAPE: dict[str, Any] = {
    "vocab_size": 40,
    "dim": 16,
    "n_layers": 2,
    "n_heads": 2,
    "ffn_dim": 32,
    "tie_embeddings": True,
    "moe": {"n_experts": 2, "top_k": 1, "balance": "bias"},
}
TOKENS = torch.tensor([[3, 1, 4, 1, 5]])


def decoder(seed: int = 0, **changes: Any) -> Decoder:
    made = Decoder(ModelConfig.model_validate({**SHAPE, **changes}))
    made.initialize(seed)
    for layer in made.moe_layers():
        assert layer.choice_bias is not None
        layer.choice_bias += torch.tensor([0.5, -0.5])
    return made.eval()


def save_checkpoint(root: Path, step: int, made: Decoder) -> Path:
    """As a run does it, with an optimizer's state."""
    optimizer = {"embedding.weight.exp_avg": torch.zeros(3)}
    state = {"model": model_state([made]), "optimizer": optimizer}
    Checkpoints(root / "checkpoints", keep=9).save(step, state, {}, made.config)
    return root / "checkpoints" / f"step-{step}"


def is_it(folder: Path, made: Decoder) -> bool:
    loaded = model.load_pretrained(folder)
    assert not loaded.training
    state = loaded.state_dict()
    equal = all(torch.equal(state[name], tensor) for name, tensor in made.state_dict().items())
    return equal and torch.equal(loaded(TOKENS), made(TOKENS))


def test_importing_the_package_imports_no_torch(repository: Path) -> None:
    code = "import model, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)
    with pytest.raises(AttributeError, match="no_such"):
        _ = model.no_such


def test_a_run_is_its_latest_checkpoint(tmp_path: Path) -> None:
    first, last = decoder(1), decoder(2)
    save_checkpoint(tmp_path, 9, first)
    save_checkpoint(tmp_path, 10, last)
    assert is_it(tmp_path, last)
    assert is_it(tmp_path / "checkpoints" / "step-9", first)


@pytest.mark.parametrize("missing", ["checksums.json", "model.json", ".metadata", "cut"])
def test_an_incomplete_checkpoint_is_passed_over(tmp_path: Path, missing: str) -> None:
    whole = decoder(1)
    save_checkpoint(tmp_path, 1, whole)
    broken = save_checkpoint(tmp_path, 2, decoder(2))
    unfinished = save_checkpoint(tmp_path, 3, decoder(3))
    unfinished.rename(unfinished.with_name(".partial-step-3"))
    if missing == "cut":
        file = next(broken.glob("*.distcp"))
        file.write_bytes(file.read_bytes()[:-1])
    else:
        (broken / missing).unlink()
    assert is_it(tmp_path, whole)
    shutil.rmtree(tmp_path / "checkpoints" / "step-1")
    with pytest.raises(InputError, match="no complete checkpoint; step-2: ") as raised:
        model.load_pretrained(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_of_another_shape(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, 1, decoder())
    other = decoder(n_layers=3).config.model_dump_json()
    sums = json.loads((folder / "checksums.json").read_text())
    (folder / "model.json").write_text(other)
    sums["model.json"]["bytes"] = len(other)
    (folder / "checksums.json").write_text(json.dumps(sums))
    with pytest.raises(InputError, match=r"layers\.2\..* is missing") as raised:
        model.load_pretrained(folder)
    assert "\n" not in str(raised.value)


def test_damage_inside_a_file_is_an_input_error(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, 1, decoder())
    file = next(folder.glob("*.distcp"))
    file.write_bytes(b"\xff" * file.stat().st_size)
    with pytest.raises(InputError, match="cannot be read") as raised:
        model.load_pretrained(folder)
    assert "\n" not in str(raised.value)


def test_a_hugging_face_folder(tmp_path: Path) -> None:
    made = decoder(moe=None)
    save_huggingface(made.config, made.state_dict(), tmp_path)
    assert is_it(tmp_path, made)
    assert model.load_pretrained(str(tmp_path), dtype=torch.bfloat16).norm.weight.dtype == (
        torch.bfloat16
    )


def test_tensors_one_at_a_time(tmp_path: Path) -> None:
    made = decoder()
    weights = open_weights(save_checkpoint(tmp_path, 1, made))
    assert weights.config == made.config
    name = "layers.1.attention.q_proj.weight"
    assert torch.equal(weights.tensor(name), made.state_dict()[name])
    # A pipeline's last stage asks for its tied head by its own name.
    assert torch.equal(weights.tensor("head.weight"), made.state_dict()["embedding.weight"])


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model"):
        model.load_pretrained(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        model.load_pretrained(tmp_path / "nowhere")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="holds no complete checkpoint"):
        model.load_pretrained(tmp_path)
