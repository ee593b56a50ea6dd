"""Sliding windows of Qwen's configurations: on no layer, or from one layer on."""

from __future__ import annotations

from model.config import ModelConfig
from model.huggingface.family import Keys
from schemas.errors import InputError

FULL, SLIDING = "full_attention", "sliding_attention"


def read_layer_windows(keys: Keys, where: str) -> Keys:
    """Keys of ModelConfig. `layer_types`, of newer configurations, goes before
    `max_window_layers`. Raises InputError for another pattern."""
    if not keys.get("use_sliding_window") or keys.get("sliding_window") is None:
        return {}
    layers = keys["num_hidden_layers"]
    first = keys.get("max_window_layers", 28)
    kinds = keys.get("layer_types")
    if kinds is not None:
        first = kinds.index(SLIDING) if SLIDING in kinds else layers
        if kinds != [FULL] * first + [SLIDING] * (layers - first):
            raise InputError(
                f"{where}: layer_types: only windows on all layers from one on are known here"
            )
    return {"sliding_window": keys["sliding_window"], "sliding_window_from": first}


def write_layer_windows(config: ModelConfig) -> Keys:
    """Keys of config.json."""
    window = config.sliding_window
    first = config.n_layers if window is None else config.sliding_window_from
    kinds = [FULL if config.window_of(n) is None else SLIDING for n in range(config.n_layers)]
    return {
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": first,
        "layer_types": kinds,
    }
