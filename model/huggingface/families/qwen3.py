"""Qwen 3: norms over the heads of queries and keys."""

from __future__ import annotations

from model.config import ModelConfig
from model.huggingface.family import Family, Keys
from model.huggingface.layer_windows import read_layer_windows, write_layer_windows


def _read(keys: Keys, where: str) -> Keys:
    bias = bool(keys.get("attention_bias"))
    read = {"qk_norm": True, "qkv_bias": bias, "out_bias": bias, **read_layer_windows(keys, where)}
    return read if keys.get("head_dim") else {**read, "head_dim": 128}


def _write(config: ModelConfig) -> Keys:
    return {"attention_bias": config.qkv_bias, **write_layer_windows(config)}


QWEN3 = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    always=frozenset({"qk_norm"}),
    optional=frozenset({"attention_bias", "sliding_window", "sliding_window_from", "head_dim"}),
    read=_read,
    write=_write,
)
