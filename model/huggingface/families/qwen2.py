"""Qwen 2 and 2.5: biases on queries, keys and values."""

from __future__ import annotations

from model.huggingface.family import Family, Keys
from model.huggingface.layer_windows import read_layer_windows, write_layer_windows


def _read(keys: Keys, where: str) -> Keys:
    return {"qkv_bias": True, **read_layer_windows(keys, where)}


QWEN2 = Family(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    always=frozenset({"qkv_bias"}),
    optional=frozenset({"sliding_window", "sliding_window_from", "head_dim"}),
    read=_read,
    write=write_layer_windows,
)
