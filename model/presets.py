"""Shapes by name. A preset fixes everything but the vocabulary, which the tokenizer brings."""

from __future__ import annotations

from typing import Any

from model.config import ModelConfig
from schemas.errors import UsageError

PRESETS: dict[str, dict[str, Any]] = {
    "debug": {
        "dim": 64,
        "n_layers": 2,
        "n_heads": 4,
        "n_kv_heads": 2,
        "ffn_dim": 160,
        "max_seq_len": 256,
    },
    "debug-moe": {
        "dim": 64,
        "n_layers": 2,
        "n_heads": 4,
        "n_kv_heads": 2,
        "ffn_dim": 160,
        "max_seq_len": 256,
        "moe": {"n_experts": 4, "top_k": 2, "ffn_dim": 96},
    },
    # 0.8 M parameters with bytes as tokens.
    "tiny": {
        "dim": 128,
        "n_layers": 4,
        "n_heads": 4,
        "n_kv_heads": 2,
        "ffn_dim": 352,
        "max_seq_len": 512,
    },
    "10m": {
        "dim": 256,
        "n_layers": 8,
        "n_heads": 8,
        "n_kv_heads": 2,
        "ffn_dim": 768,
        "max_seq_len": 1024,
    },
    # GPT-2 small's size with Llama's parts (sizes of Radford et al. 2019, table 2).
    "124m": {
        "dim": 768,
        "n_layers": 12,
        "n_heads": 12,
        "ffn_dim": 2048,
        "max_seq_len": 2048,
        "tie_embeddings": True,
    },
    # Llama 3.2 1B's config.json.
    "1b": {
        "dim": 2048,
        "n_layers": 16,
        "n_heads": 32,
        "n_kv_heads": 8,
        "ffn_dim": 8192,
        "max_seq_len": 8192,
        "tie_embeddings": True,
        "rope": {"theta": 500_000.0},
    },
    # Meta-Llama-3-8B's config.json.
    "llama3-8b": {
        "dim": 4096,
        "n_layers": 32,
        "n_heads": 32,
        "n_kv_heads": 8,
        "ffn_dim": 14_336,
        "max_seq_len": 8192,
        "rope": {"theta": 500_000.0},
    },
    # Qwen3-0.6B's config.json.
    "qwen-like": {
        "dim": 1024,
        "n_layers": 28,
        "n_heads": 16,
        "n_kv_heads": 8,
        "head_dim": 128,
        "ffn_dim": 3072,
        "max_seq_len": 32_768,
        "tie_embeddings": True,
        "qk_norm": True,
        "norm_eps": 1e-6,
        "rope": {"theta": 1_000_000.0},
    },
    # Mixtral-8x7B-v0.1's config.json.
    "mixtral-like": {
        "dim": 4096,
        "n_layers": 32,
        "n_heads": 32,
        "n_kv_heads": 8,
        "ffn_dim": 14_336,
        "max_seq_len": 32_768,
        "rope": {"theta": 1_000_000.0},
        "moe": {"n_experts": 8, "top_k": 2, "aux_coef": 0.02},
    },
}


def preset(name: str, vocab_size: int, **changes: Any) -> ModelConfig:
    """The shape `name`, with some keys changed. Raises UsageError for a name that is not there."""
    if name not in PRESETS:
        raise UsageError(f"model.preset: {name!r} is none of {', '.join(PRESETS)}")
    return ModelConfig.model_validate({"vocab_size": vocab_size, **PRESETS[name], **changes})
