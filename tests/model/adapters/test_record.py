"""What tells the base of adapters from other weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.adapters.record import AdapterRecord, fingerprint
from model.config import ModelConfig
from model.weights import expected_shapes
from schemas.errors import InputError

SHAPES = {
    "dense": ModelConfig(vocab_size=40, dim=36, n_layers=3, n_heads=2),
    "tied": ModelConfig(vocab_size=40, dim=36, n_layers=1, n_heads=2, tie_embeddings=True),
    "sparse": ModelConfig.model_validate(
        {"vocab_size": 40, "dim": 36, "n_layers": 1, "n_heads": 2}
        | {"moe": {"n_experts": 4, "top_k": 2, "ffn_dim": 20}}
    ),
}


class Held:
    """Weights in memory."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(2)
        self.folder = Path("held")
        self.config = config
        self.tensors = {
            name: torch.randn(shape, generator=generator).to(torch.bfloat16).to(dtype)
            for name, shape in expected_shapes(config).items()
        }

    def tensor(self, name: str) -> Tensor:
        return self.tensors[name]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_step_of_any_tensor_is_another_base(shape: ModelConfig) -> None:
    weights = Held(shape)
    seen = {fingerprint(weights)}
    for name, tensor in weights.tensors.items():
        weights.tensors[name] = tensor * 1.001
        seen.add(fingerprint(weights))
        weights.tensors[name] = tensor
    assert len(seen) == len(weights.tensors) + 1


def test_any_expert_that_was_trained_is_told() -> None:
    weights = Held(SHAPES["sparse"])
    stacked = next(t for t in weights.tensors.values() if t.dim() == 3)
    seen = {fingerprint(weights)}
    for expert in stacked:
        expert.mul_(1.001)
        seen.add(fingerprint(weights))
    assert len(seen) == len(stacked) + 1


def test_the_type_that_weights_are_stored_in_does_not_count() -> None:
    found = fingerprint(Held(SHAPES["dense"]))
    assert found == fingerprint(Held(SHAPES["dense"], torch.bfloat16))
    assert found.startswith("rows17:")


def test_a_record_with_the_fingerprint_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter.json"
    path.write_text(json.dumps({"base": "/base", "fingerprint": "0" * 64, "lora": {}}))
    with pytest.raises(InputError, match=r"adapter\.json: was written by another version") as error:
        AdapterRecord.read(path)
    assert "\n" not in str(error.value)
