from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from model.config import ModelConfig

SHAPE: dict[str, Any] = {"vocab_size": 10, "dim": 32, "n_layers": 2, "n_heads": 4}


def test_defaults() -> None:
    config = ModelConfig(**SHAPE)
    assert config.kv_heads == 4
    assert config.head_size == 8
    assert config.hidden_dim == 96
    assert config.expert_dim == 96
    assert config.window_of(0) is None


def test_what_is_given_is_taken() -> None:
    moe = {"n_experts": 4, "top_k": 2}
    config = ModelConfig(
        **SHAPE,
        n_kv_heads=1,
        head_dim=6,
        ffn_dim=50,
        sliding_window=3,
        sliding_window_from=1,
        moe=moe,
    )
    assert config.kv_heads == 1
    assert config.head_size == 6
    assert config.hidden_dim == config.expert_dim == 50
    assert [config.window_of(layer) for layer in range(2)] == [None, 3]
    assert ModelConfig(**SHAPE, moe={**moe, "ffn_dim": 7}).expert_dim == 7


@pytest.mark.parametrize(("dim", "hidden"), [(12, 32), (13, 64), (4096, 10_944)])
def test_the_default_width_is_eight_thirds_rounded_up(dim: int, hidden: int) -> None:
    assert (
        ModelConfig(vocab_size=10, dim=dim, n_layers=1, n_heads=1, head_dim=2).hidden_dim == hidden
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_kv_heads": 3}, "n_kv_heads: 3 does not divide n_heads 4"),
        ({"n_heads": 5}, "n_heads: 5 does not divide dim 32"),
        ({"head_dim": 5}, "head_dim: 5 is odd"),
        ({"moe": {"n_experts": 2, "top_k": 3}}, "top_k: 3 of 2"),
        ({"rope": {"factor": 2.0}}, "factor: needs a scaling"),
        ({"rope": {"scaling": "unknown"}}, "scaling"),
        ({"heads": 4}, "heads"),
        ({"dim": 0}, "dim"),
        ({"moe": {"n_experts": 4, "top_k": 0}}, "top_k"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ModelConfig(**{**SHAPE, **changes})


def test_alibi_takes_odd_heads() -> None:
    assert ModelConfig(**SHAPE, head_dim=5, position="alibi").head_size == 5


def test_a_shape_survives_json() -> None:
    config = ModelConfig(
        **SHAPE,
        rope={"scaling": "yarn", "factor": 4.0, "original_len": 16},
        moe={"n_experts": 4, "top_k": 2},
    )
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_shapes_are_read_without_torch() -> None:
    source = "import sys, model.config, model.presets; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", source], check=True)
