"""Llama 2 and 3, and the many models of their form."""

from __future__ import annotations

from model.config import ModelConfig
from model.huggingface.family import Family, Keys


def _read(keys: Keys, where: str) -> Keys:
    bias = bool(keys.get("attention_bias"))
    return {"qkv_bias": bias, "out_bias": bias, "mlp_bias": bool(keys.get("mlp_bias"))}


def _write(config: ModelConfig) -> Keys:
    return {"attention_bias": config.qkv_bias, "mlp_bias": config.mlp_bias, "pretraining_tp": 1}


LLAMA = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    always=frozenset(),
    optional=frozenset({"attention_bias", "mlp_bias"}),
    read=_read,
    write=_write,
)
