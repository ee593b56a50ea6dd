"""Tiny models of transformers, with weights that make every part matter."""

from __future__ import annotations

from typing import Any

import torch

SHARED: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
EXPERTS = {
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
}


def rope(kind: str, **keys: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **keys}}


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama MHA": ("llama", {"num_key_value_heads": 4}),
    "llama MQA": ("llama", {"num_key_value_heads": 1}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama head_dim": ("llama", {"head_dim": 12}),
    "llama attention bias": ("llama", {"attention_bias": True}),
    "llama mlp bias": ("llama", {"mlp_bias": True}),
    "llama eps": ("llama", {"rms_norm_eps": 0.01}),
    "llama theta": ("llama", rope("default", rope_theta=500_000.0)),
    "llama linear": ("llama", rope("linear", factor=3.0)),
    "llama dynamic": ("llama", {"max_position_embeddings": 16, **rope("dynamic", factor=4.0)}),
    "llama yarn": ("llama", rope("yarn", factor=4.0, original_max_position_embeddings=16)),
    "llama yarn factors": (
        "llama",
        rope(
            "yarn",
            factor=2.0,
            original_max_position_embeddings=32,
            attention_factor=1.3,
            beta_fast=8.0,
            beta_slow=0.5,
        ),
    ),
    "llama yarn mscale": (
        "llama",
        rope(
            "yarn",
            factor=4.0,
            original_max_position_embeddings=16,
            mscale=1.0,
            mscale_all_dim=0.5,
        ),
    ),
    "llama llama3": (
        "llama",
        rope(
            "llama3",
            factor=8.0,
            original_max_position_embeddings=16,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
        ),
    ),
    "qwen2": ("qwen2", {}),
    "qwen2 tied": ("qwen2", {"tie_word_embeddings": True, "head_dim": 16}),
    "qwen2 late windows": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "qwen3 bias": ("qwen3", {"head_dim": 8, "attention_bias": True, "tie_word_embeddings": True}),
    "qwen3 windows": (
        "qwen3",
        {"head_dim": 8, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0},
    ),
    "mistral": ("mistral", {"sliding_window": 5}),
    # One of 1 is not compared: transformers' cache then keeps every key.
    "mistral window of two": ("mistral", {"sliding_window": 2}),
    "mistral without window": ("mistral", {"sliding_window": None, "num_key_value_heads": 1}),
    "mistral odd width": ("mistral", {"sliding_window": None, "hidden_size": 30, "head_dim": 10}),
    "mixtral": ("mixtral", {"sliding_window": None}),
    "mixtral window": ("mixtral", {"sliding_window": 6, "num_experts_per_tok": 1, "head_dim": 16}),
    "qwen3_moe": ("qwen3_moe", {"norm_topk_prob": True, "head_dim": 16}),
    "qwen3_moe raw weights": ("qwen3_moe", {"norm_topk_prob": False, "head_dim": 8}),
    "qwen3_moe bias": (
        "qwen3_moe",
        {"norm_topk_prob": True, "head_dim": 8, "attention_bias": True, "num_experts_per_tok": 3},
    ),
}


def theirs(family: str, changes: dict[str, Any]) -> Any:
    """A model of transformers in evaluation mode."""
    from transformers import AutoConfig, AutoModelForCausalLM

    keys = {**SHARED, **EXPERTS.get(family, {}), **changes}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **keys)).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            weight.copy_(1 + 0.2 * drawn if name.endswith("norm.weight") else 0.2 * drawn)
    return model


def tokens(rows: int = 2, length: int = 24) -> torch.Tensor:
    return torch.randint(61, (rows, length), generator=torch.Generator().manual_seed(9))
