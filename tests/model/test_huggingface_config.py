"""config.json, read in all its spellings and written for all its readers. No transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.config import ModelConfig
from model.huggingface.families import FAMILIES, read_config, write_config
from schemas.errors import InputError, UsageError

PATH = Path("F/config.json")

LLAMA31_8B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
"""As published with Llama 3.1, in the keys of transformers 4."""

PLAIN: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def read(keys: dict[str, Any]) -> ModelConfig:
    return read_config(keys, PATH)[1]


def test_a_published_configuration() -> None:
    config = read(LLAMA31_8B)
    assert (config.dim, config.n_layers, config.kv_heads, config.head_size) == (4096, 32, 8, 128)
    assert config.rope.model_dump(include={"theta", "scaling", "factor", "original_len"}) == {
        "theta": 500_000.0,
        "scaling": "llama3",
        "factor": 8.0,
        "original_len": 8192,
    }
    assert config.max_seq_len == 131_072
    assert not config.tie_embeddings


def test_old_and_new_rope_keys_mean_the_same() -> None:
    new = {k: v for k, v in LLAMA31_8B.items() if not k.startswith("rope_")}
    new["rope_parameters"] = {**LLAMA31_8B["rope_scaling"], "rope_theta": 500_000.0}
    assert read(new) == read(LLAMA31_8B)
    oldest = {**PLAIN, "rope_scaling": {"type": "linear", "factor": 2.0}}
    assert (read(oldest).rope.scaling, read(oldest).rope.factor) == ("linear", 2.0)
    assert read({**PLAIN, "rope_scaling": None}).rope.theta == 10_000.0


def test_defaults_of_transformers_where_a_key_is_absent() -> None:
    assert read(PLAIN).norm_eps == 1e-6
    assert read(PLAIN).kv_heads == 4
    mixtral = read({**PLAIN, "model_type": "mixtral"})
    assert (mixtral.norm_eps, mixtral.rope.theta) == (1e-5, 1_000_000.0)
    assert read({**PLAIN, "model_type": "mistral"}).sliding_window == 4096
    assert read({**PLAIN, "model_type": "qwen3"}).head_size == 128
    ignored = {**PLAIN, "model_type": "qwen2", "sliding_window": 64}
    assert read(ignored).sliding_window is None


def test_a_stretched_rotation_reaches_its_factor() -> None:
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
    assert read({**PLAIN, "rope_scaling": yarn}).max_seq_len == 2048
    assert read({**PLAIN, "rope_scaling": {**yarn, "factor": 1.0}}).max_seq_len == 512
    # DeepSeek's spelling: the factor is the ratio of the two lengths.
    ratio = {"type": "yarn", "original_max_position_embeddings": 64}
    assert read({**PLAIN, "rope_scaling": ratio}).rope.factor == 8
    dynamic = read({**PLAIN, "rope_scaling": {"type": "dynamic", "factor": 2.0}})
    assert (dynamic.rope.original_len, dynamic.max_seq_len) == (512, 1024)
    assert write_config(dynamic)[1]["max_position_embeddings"] == 512


def test_windows_of_qwen_by_layers() -> None:
    keys = {**PLAIN, "model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64}
    assert read({**keys, "max_window_layers": 1}).sliding_window_from == 1
    kinds = ["full_attention", "sliding_attention"]
    assert read({**keys, "max_window_layers": 9, "layer_types": kinds}).sliding_window_from == 1
    with pytest.raises(InputError, match="layer_types"):
        read({**keys, "layer_types": kinds[::-1]})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2'"),
        ({"model_type": None}, "model_type None"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"hidden_size": None}, "hidden_size"),
        ({"max_position_embeddings": "512"}, "max_position_embeddings"),
        ({"rope_scaling": {"type": "dynamic", "factor": "2"}}, "factor"),
        ({"num_attention_heads": 3}, "n_heads: 3 does not divide dim 64"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "longrope"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0, "truncate": False}}, "truncate"),
        ({"model_type": "qwen3_moe", "mlp_only_layers": [0]}, "mlp_only_layers"),
        ({"model_type": "qwen3_moe", "decoder_sparse_step": 2}, "decoder_sparse_step"),
    ],
)
def test_what_no_decoder_here_can_be(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as raised:
        read({**PLAIN, **changes})
    assert str(raised.value).startswith(str(PATH))
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


SHAPE: dict[str, Any] = {"vocab_size": 100, "dim": 64, "n_layers": 3, "n_heads": 4}
MOE: dict[str, Any] = {"n_experts": 4, "top_k": 2}


def shape(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate({**SHAPE, **changes})


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({}, "llama"),
        ({"tie_embeddings": True, "head_dim": 32}, "llama"),
        ({"qkv_bias": True, "out_bias": True, "mlp_bias": True}, "llama"),
        ({"dim": 62, "head_dim": 16}, "mistral"),
        ({"sliding_window": 8}, "mistral"),
        ({"sliding_window": 8, "sliding_window_from": 3}, "llama"),
        ({"qkv_bias": True}, "qwen2"),
        ({"qkv_bias": True, "sliding_window": 8, "sliding_window_from": 2}, "qwen2"),
        ({"qk_norm": True}, "qwen3"),
        ({"qk_norm": True, "qkv_bias": True, "out_bias": True}, "qwen3"),
        ({"moe": MOE}, "mixtral"),
        ({"moe": {**MOE, "ffn_dim": 96}, "sliding_window": 8, "mlp_bias": True}, "mixtral"),
        ({"moe": MOE, "qk_norm": True}, "qwen3_moe"),
        ({"moe": {**MOE, "normalize_top_k": False}, "qk_norm": True}, "qwen3_moe"),
    ],
)
def test_the_family_follows_from_the_shape_and_keeps_it(
    changes: dict[str, Any], family: str
) -> None:
    config = shape(**changes)
    found, keys = write_config(config)
    assert found.model_type == keys["model_type"] == family
    again = read_config(keys, PATH)[1]
    assert write_config(again)[1] == keys
    for layer in range(config.n_layers):
        assert again.window_of(layer) == config.window_of(layer)
    sizes = ("kv_heads", "head_size", "expert_dim", "qk_norm", "qkv_bias", "out_bias")
    assert [getattr(again, name) for name in sizes] == [getattr(config, name) for name in sizes]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"position": "alibi"}, "position"),
        ({"out_bias": True}, "out_bias"),
        ({"qk_norm": True, "mlp_bias": True}, "(qk_norm|mlp_bias)"),
        ({"sliding_window": 8, "sliding_window_from": 1}, "sliding_window_from"),
        ({"qk_norm": True, "qkv_bias": True}, "(qk_norm|qkv_bias)"),
        ({"moe": {**MOE, "n_shared": 1}}, "moe.n_shared"),
        ({"moe": {**MOE, "balance": "bias"}}, "moe.balance"),
        ({"moe": {**MOE, "score": "sigmoid"}}, "moe.score"),
        ({"moe": {**MOE, "normalize_top_k": False}}, "moe.normalize_top_k"),
    ],
)
def test_a_model_that_no_family_has_is_refused_by_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError, match=rf"^model\.{key}: ") as raised:
        write_config(shape(**changes))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("scaling", ["none", "linear", "ntk", "dynamic", "yarn", "llama3"])
def test_rotations_survive_the_way_there_and_back(scaling: str) -> None:
    import torch

    from model.rope import frequencies

    rope = {"scaling": scaling, "factor": 1.0 if scaling == "none" else 4.0, "original_len": 64}
    config = shape(max_seq_len=256, rope=rope)
    keys = write_config(config)[1]
    new = {k: v for k, v in keys.items() if k not in ("rope_theta", "rope_scaling")}
    old = {k: v for k, v in keys.items() if k != "rope_parameters"}
    positions = torch.arange(200)[None]
    expected = frequencies(config, positions)
    for spelling in (keys, new, old):
        found = frequencies(read_config(spelling, PATH)[1], positions)
        torch.testing.assert_close(found.inverse, expected.inverse)
        assert found.magnitude == pytest.approx(expected.magnitude)


def test_every_family_is_registered_by_its_type() -> None:
    assert all(name == family.model_type for name, family in FAMILIES.items())
