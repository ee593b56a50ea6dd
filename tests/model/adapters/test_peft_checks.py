"""Folders of peft that are damaged, or more than what is read here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.adapters.config import PromptTuning
from model.adapters.lora import Factors
from model.adapters.peft_keys import CHANGED_BASE, HARMLESS, PLAIN, READ
from model.adapters.peft_lora import read_lora, write_lora
from model.adapters.peft_virtual import read_virtual, write_virtual
from model.adapters.virtual import virtual_shapes
from model.config import ModelConfig
from model.pretrained import open_weights
from schemas.errors import InputError

SHAPE = ModelConfig(vocab_size=9, dim=16, n_layers=2, n_heads=4, n_kv_heads=2)
LAYER = "base_model.model.model.layers.1.self_attn.k_proj"
"""From 16 to 8 numbers."""


def write(folder: Path, dora: bool = True) -> Path:
    """An adapter of rank 4 for one layer."""
    magnitude = torch.ones(8) if dora else None
    factors = Factors(torch.ones(4, 16), torch.ones(8, 4), 2.0, None, magnitude)
    layers = {"layers.1.attention.k_proj": lambda: factors}
    write_lora(folder, SHAPE, layers, rank=4, rslora=False)
    return folder


def with_keys(folder: Path, **changed: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def with_tensors(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_lora(folder, SHAPE)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("end", "shape"),
    [
        ("lora_A.weight", (4,)),
        ("lora_A.weight", (4, 16, 1)),
        ("lora_A.weight", (4, 8)),
        ("lora_A.weight", ()),
        ("lora_B.weight", (8,)),
        ("lora_B.weight", (8, 4, 1)),
        ("lora_B.weight", (16, 4)),
        ("lora_magnitude_vector", (16,)),
        ("lora_magnitude_vector", (8, 1)),
        ("lora_magnitude_vector", (1,)),
    ],
    ids=str,
)
def test_tensors_that_fit_no_layer_are_refused(
    tmp_path: Path, end: str, shape: tuple[int, ...]
) -> None:
    write(tmp_path)
    with_tensors(tmp_path, lambda t: t.update({f"{LAYER}.{end}": torch.ones(shape)}))
    refused(tmp_path, rf"adapter_model\.safetensors: {LAYER}\.{end} has the shape \[")


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"lora_A": (3, 16)}, r"lora_A\.weight has rank 3, adapter_config\.json says 4"),
        ({"lora_B": (8, 3)}, r"lora_B\.weight has rank 3, adapter_config\.json says 4"),
        ({"lora_A": (0, 16), "lora_B": (8, 0)}, r"lora_A\.weight has rank 0"),
    ],
    ids=str,
)
def test_ranks_that_do_not_agree_are_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    write(tmp_path)
    changed = {f"{LAYER}.{kind}.weight": torch.ones(shape) for kind, shape in shapes.items()}
    with_tensors(tmp_path, lambda t: t.update(changed))
    refused(tmp_path, message)


def test_ranks_of_their_own_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    with_keys(tmp_path, r=8, rank_pattern={"layers.1.self_attn.k_proj": 4}, lora_alpha=8)
    _, found = read_lora(tmp_path, SHAPE)
    assert found["layers.1.attention.k_proj"]().scale == 2.0
    with_keys(tmp_path, rank_pattern={"k_proj": 5})
    refused(tmp_path, r"lora_A\.weight has rank 4, adapter_config\.json says 5")


@pytest.mark.parametrize("dora", [True, False])
def test_magnitudes_that_are_not_of_the_kind_are_refused(tmp_path: Path, dora: bool) -> None:
    write(tmp_path, dora)
    with_keys(tmp_path, use_dora=not dora)
    refused(tmp_path, "lora_magnitude_vector" if dora else "lacks a tensor of its adapter")


def test_a_file_without_adapters_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    with_tensors(tmp_path, lambda t: t.clear())
    refused(tmp_path, "holds no adapters")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alora_invocation_tokens": [5, 6]}, "alora_invocation_tokens"),
        ({"use_bdlora": {"nblocks": 2}}, "use_bdlora"),
        ({"arrow_config": {"top_k": 2}}, "arrow_config"),
        ({"kasa_config": {"beta": 0.1}}, "kasa_config"),
        ({"monteclora_config": {"num_samples": 8}}, "monteclora_config"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights 'pissa_niter_4'"),
        ({"init_lora_weights": "OLoRA"}, "init_lora_weights 'OLoRA'"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights 'loftq'"),
        ({"bias": "lora_only"}, "bias 'lora_only'"),
        ({"lora_bias": True}, "lora_bias True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"r": None}, "r None is no rank"),
        ({"r": "8"}, "r '8' is no rank"),
        ({"rank_pattern": ["k_proj"]}, "rank_pattern is no object"),
        ({"rank_pattern": {"k_proj": "4"}}, "rank_pattern: 'k_proj': '4' cannot be used"),
        ({"alpha_pattern": 3}, "alpha_pattern is no object"),
        ({"alpha_pattern": {"(": 3}}, r"alpha_pattern: '\(': 3 cannot be used"),
    ],
    ids=str,
)
def test_keys_that_mean_more_are_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    write(tmp_path)
    with_keys(tmp_path, **changed)
    refused(tmp_path, rf"adapter_config\.json: {message}")


@pytest.mark.parametrize(
    "changed",
    [
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "eva", "eva_config": {"rho": 2.0}},
        {"lora_dropout": 0.1, "bias": "none"},
        {"exclude_modules": ["q_proj"], "target_modules": ["k_proj"], "layers_to_transform": [1]},
        {"velora_config": {"num_groups": 64}},
        {"use_bdlora": None, "alora_invocation_tokens": None},
    ],
    ids=str,
)
def test_keys_of_training_are_read_over(tmp_path: Path, changed: dict[str, Any]) -> None:
    write(tmp_path)
    with_keys(tmp_path, **changed)
    assert read_lora(tmp_path, SHAPE)[1].keys() == {"layers.1.attention.k_proj"}


def test_an_adapter_that_names_itself_as_its_base_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with_keys(tmp_path, base_model_name_or_path=str(link))
    with pytest.raises(InputError, match="holds adapters, no model"):
        open_weights(tmp_path)


def test_every_option_of_peft_is_known() -> None:
    peft = pytest.importorskip("peft")
    options = {field.name for field in dataclasses.fields(peft.LoraConfig)}
    assert options - PLAIN.keys() - READ - HARMLESS == set()
    assert CHANGED_BASE


def test_fan_in_fan_out_does_not_turn_linear_layers(tmp_path: Path) -> None:
    """peft leaves it out for them, too, with a warning."""
    write(tmp_path)
    with_keys(tmp_path, fan_in_fan_out=True)
    assert read_lora(tmp_path, SHAPE)[1]["layers.1.attention.k_proj"]().a.shape == (4, 16)


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("prompt", (16,), r"prompt_embeddings has the shape \[16\]"),
        ("prompt", (), r"prompt_embeddings has the shape \[\]"),
        ("prompt", (3, 4, 4), r"prompt_embeddings has the shape \[3, 4, 4\]"),
        ("prompt", (0, 16), r"prompt_embeddings has the shape \[0, 16\]"),
        ("prompt", (3, 8), "prompt_embeddings has 8 numbers a token"),
        ("prompt", (4, 16), r"prompt_embeddings has 4 tokens, adapter_config\.json says 3"),
        ("prefix", (32,), r"prompt_embeddings has the shape \[32\]"),
        ("prefix", (3, 4, 8), r"prompt_embeddings has the shape \[3, 4, 8\]"),
        ("prefix", (3, 16), "prompt_embeddings has 16 numbers a token"),
    ],
    ids=str,
)
def test_virtual_tokens_of_another_shape_are_refused(
    tmp_path: Path, kind: str, shape: tuple[int, ...], message: str
) -> None:
    config = PromptTuning.model_validate({"kind": kind, "tokens": 3})
    zeros = {name: torch.zeros(size) for name, size in virtual_shapes(SHAPE, config).items()}
    write_virtual(tmp_path, SHAPE, config, zeros)
    assert read_virtual(tmp_path, SHAPE)[0] == config
    with_tensors(tmp_path, lambda t: t.update({"prompt_embeddings": torch.zeros(shape)}))
    with pytest.raises(InputError, match=message) as error:
        read_virtual(tmp_path, SHAPE)
    assert "\n" not in str(error.value)
