"""Rotary embedding: exact positions, and scalings that equal those of transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from model.config import ModelConfig
from model.decoder import Decoder
from model.rope import frequencies, rotate, rotation
from model.rope_scaling import ntk_theta

FAR = torch.tensor([[15962, 15966, 15968]])
"""Neighbours: the first two are one number in bfloat16, and the third is 32 away."""


def shape(**rope: Any) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "vocab_size": 16,
            "dim": 128,
            "n_layers": 1,
            "n_heads": 2,
            "max_seq_len": 8192,
            "rope": rope,
        }
    )


def test_positions_stay_apart_in_a_bfloat16_model() -> None:
    assert FAR.bfloat16()[0, 0] == FAR.bfloat16()[0, 1]
    model = Decoder(shape()).bfloat16()
    around = model.surroundings(torch.zeros_like(FAR), FAR, None, None)
    assert around.rotation is not None
    assert around.rotation.cos.dtype == torch.float32
    exact = FAR[0, :, None].double() * frequencies(shape(), FAR).inverse.double()
    torch.testing.assert_close(
        around.rotation.cos[0, :, 0, :32].double(), exact.cos(), atol=2e-3, rtol=0
    )
    heads = torch.ones(1, 3, 1, 64, dtype=torch.bfloat16)
    turned = rotate(heads, around.rotation)
    assert turned.dtype == torch.bfloat16
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (turned[0, one] - turned[0, other]).abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_default_type_changes_no_phase(dtype: torch.dtype) -> None:
    wide = rotation(shape(), FAR)
    torch.set_default_dtype(dtype)
    try:
        narrow = rotation(shape(), FAR)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(wide.cos, narrow.cos)
    assert torch.equal(wide.sin, narrow.sin)


SCALED: list[dict[str, Any]] = [
    {"scaling": "linear", "factor": 3.0},
    {"scaling": "dynamic", "factor": 4.0},
    {"scaling": "yarn", "factor": 4.0, "original_len": 2048},
    {"scaling": "yarn", "factor": 8.0, "beta_fast": 16.0, "beta_slow": 2.0, "attn_factor": 1.5},
    # The ramp's ends meet on one pair.
    {"scaling": "yarn", "factor": 2.0, "original_len": 2, "theta": 100.0},
    {"scaling": "llama3", "factor": 8.0, "original_len": 1024, "theta": 5e5},
    {"scaling": "llama3", "factor": 32.0, "low_freq_factor": 2.0, "high_freq_factor": 6.0},
]


@pytest.mark.parametrize("rope", SCALED, ids=lambda rope: f"{rope['scaling']}-{len(rope)}")
@pytest.mark.parametrize("length", [100, 8192, 20_001])
def test_frequencies_equal_those_of_transformers(rope: dict[str, Any], length: int) -> None:
    pytest.importorskip("transformers")
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from model.huggingface.rope_keys import write_rope

    config = shape(**rope)
    theirs = LlamaConfig(
        hidden_size=128,
        num_attention_heads=2,
        max_position_embeddings=8192,
        rope_parameters=write_rope(config)["rope_parameters"],
    )
    expected, magnitude = ROPE_INIT_FUNCTIONS[rope["scaling"]](
        theirs, torch.device("cpu"), seq_len=length
    )
    found = frequencies(config, torch.arange(length)[None])
    torch.testing.assert_close(found.inverse.reshape(expected.shape), expected, rtol=1e-6, atol=0)
    assert found.magnitude == pytest.approx(magnitude, rel=1e-12)


def test_ntk_stretches_the_slowest_pair_by_the_factor_and_leaves_the_fastest() -> None:
    plain = frequencies(shape(), FAR).inverse
    stretched = frequencies(shape(scaling="ntk", factor=4.0), FAR).inverse
    assert stretched[0] == plain[0] == 1
    assert (plain[-1] / stretched[-1]).item() == pytest.approx(4.0, rel=1e-5)
    other_base = frequencies(
        shape(theta=ntk_theta(shape(theta=1e4, scaling="ntk", factor=4.0).rope, 64)), FAR
    )
    assert torch.equal(stretched, other_base.inverse)


def test_dynamic_is_plain_up_to_the_original_length_and_ntk_beyond() -> None:
    dynamic = shape(scaling="dynamic", factor=2.0, original_len=1024)
    plain = frequencies(shape(), FAR).inverse
    torch.testing.assert_close(frequencies(dynamic, torch.arange(1024)).inverse, plain)
    longer = frequencies(dynamic, torch.arange(2048)).inverse
    # factor * length / original - (factor - 1) = 3
    expected = frequencies(shape(scaling="ntk", factor=3.0), FAR).inverse
    torch.testing.assert_close(longer, expected)


def test_dynamic_looks_at_each_row_for_itself() -> None:
    config = shape(scaling="dynamic", factor=2.0, original_len=16)
    rows = torch.stack((torch.arange(64), torch.arange(64) % 20))
    both = rotation(config, rows)
    for row in range(2):
        alone = rotation(config, rows[row : row + 1])
        assert torch.equal(both.cos[row : row + 1], alone.cos)


@pytest.mark.parametrize("scaling", ["none", "linear", "ntk", "dynamic", "yarn", "llama3"])
def test_a_score_depends_on_the_distance_alone(scaling: str) -> None:
    config = shape(scaling=scaling, factor=1.0 if scaling == "none" else 2.0)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 64, generator=generator)

    def score(i: int, j: int) -> torch.Tensor:
        by = rotation(config, torch.tensor([[i, j]]))
        queries, keys = rotate(q.expand(1, 2, 1, 64), by), rotate(k.expand(1, 2, 1, 64), by)
        return (queries[0, 0] * keys[0, 1]).sum()

    torch.testing.assert_close(score(7, 3), score(1007, 1003), atol=2e-3, rtol=0)
