"""Mistral 7B: one window on all layers, or none."""

from __future__ import annotations

from model.config import ModelConfig
from model.huggingface.family import Family, Keys


def read_window(keys: Keys, where: str) -> Keys:
    """Keys of ModelConfig. A configuration without the key is of the first models: 4096 tokens."""
    return {"sliding_window": keys.get("sliding_window", 4096)}


def write_window(config: ModelConfig) -> Keys:
    """Keys of config.json."""
    return {"sliding_window": config.window_of(config.n_layers - 1)}


MISTRAL = Family(
    model_type="mistral",
    architecture="MistralForCausalLM",
    always=frozenset(),
    optional=frozenset({"sliding_window", "head_dim"}),
    read=read_window,
    write=write_window,
)
