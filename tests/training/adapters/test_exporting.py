"""What an export in peft's format says that the format cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.builders.conversations import config
from training.adapters.exporting import export_peft
from training.checkpoint.huggingface import export_huggingface
from training.sft.stage import sft

YARN = {"max_seq_len": 128, "rope": {"scaling": "yarn", "factor": 2.0, "original_len": 64}}
METHODS: list[dict[str, Any]] = [
    {"lora": {"rank": 2}},
    {"prompt_tuning": {"tokens": 2}},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    sft(config(folder, train={"steps": 1}))
    return folder / "run"


def notices(folder: Path, base: Path, **changed: Any) -> list[str]:
    """Of an export of a run with these keys."""
    sft(config(folder, **{"init": str(base), "model": None, "train": {"steps": 1}, **changed}))
    return exported(folder)


def exported(folder: Path) -> list[str]:
    found: list[str] = []
    export_peft(folder / "run", folder / "peft", notice=found.append)
    return found


@pytest.mark.parametrize("method", METHODS, ids=["lora", "prompt"])
def test_nothing_is_said_where_the_format_says_it(
    tmp_path: Path, base: Path, method: dict[str, Any]
) -> None:
    assert notices(tmp_path, base, **method) == []


@pytest.mark.parametrize("double", [True, False])
def test_quantised_weights_are_told(tmp_path: Path, base: Path, double: bool) -> None:
    lora = {"rank": 2, "quantize": "nf4", "double_quant": double}
    (found,) = notices(tmp_path, base, lora=lora)
    assert "trained beside weights in nf4, which peft's format does not say" in found
    assert f"bnb_4bit_use_double_quant={double})" in found
    assert "llm_int8_skip_modules" not in found


def test_layers_that_were_not_quantised_are_told(tmp_path: Path, base: Path) -> None:
    lora = {"rank": 2, "quantize": "nf4", "targets": ["attention.*"]}
    (found,) = notices(tmp_path, base, lora=lora)
    assert "with llm_int8_skip_modules naming lm_head and the layers without adapters" in found


@pytest.mark.parametrize("method", METHODS, ids=["lora", "prompt"])
def test_another_window_is_told(tmp_path: Path, base: Path, method: dict[str, Any]) -> None:
    changed = {"preset": "debug", "n_layers": 1, "dim": 32, **YARN}
    (found,) = notices(tmp_path, base, model=changed, **method)
    assert "config.json of the base" in found
    assert '"max_position_embeddings": 128' in found
    assert '"rope_type": "yarn"' in found
    assert "initializer_range" not in found
    assert "\n" not in found


def test_a_base_that_is_gone_is_told(tmp_path: Path, base: Path) -> None:
    own = tmp_path / "base"
    shutil.copytree(base, own)
    assert notices(tmp_path, own, lora={"rank": 2}) == []
    shutil.rmtree(own)
    shutil.rmtree(tmp_path / "peft")
    (found,) = exported(tmp_path)
    assert "base: no such folder" in found
    assert "not compared" in found


def test_a_base_that_holds_other_weights_is_not_named(tmp_path: Path, base: Path) -> None:
    own = tmp_path / "base"
    export_huggingface(base, own)
    assert notices(tmp_path, own, lora={"rank": 2}) == []
    path = tmp_path / "peft" / "adapter_config.json"
    assert json.loads(path.read_text())["base_model_name_or_path"] == str(own)
    weights = load_file(own / "model.safetensors")
    weights["model.embed_tokens.weight"] += 1
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    shutil.rmtree(tmp_path / "peft")
    (found,) = exported(tmp_path)
    assert "base holds other weights than these adapters were trained on" in found
    assert json.loads(path.read_text())["base_model_name_or_path"] is None
