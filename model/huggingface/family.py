"""What a family of Hugging Face models is, and the keys of config.json that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from model.config import ModelConfig
from model.huggingface.rope_keys import read_max_seq_len, read_rope, write_rope
from schemas.errors import InputError

Keys = dict[str, Any]
"""A config.json, or a part of one."""


class ExpertNames(NamedTuple):
    """How a family names the parts of a sparse layer."""

    block: str
    gate: str
    up: str
    down: str


@dataclass(frozen=True)
class Family:
    """One `model_type` of transformers."""

    model_type: str
    architecture: str
    """The class that holds the language model."""
    always: frozenset[str]
    """Features (see `features`) that every model of the family has."""
    optional: frozenset[str]
    """Features that its configuration can turn on."""
    read: Callable[[Keys, str], Keys]
    """(config.json, its path) -> keys of ModelConfig beside the shared ones. Raises InputError."""
    write: Callable[[ModelConfig], Keys]
    """Keys of config.json beside the shared ones."""
    norm_eps: float = 1e-6
    """transformers' defaults, where config.json is silent."""
    theta: float = 10_000.0
    experts: ExpertNames | None = None

    def misfits(self, wanted: frozenset[str]) -> frozenset[str]:
        """Features that a model has and the family has not, or the other way round."""
        return (wanted - self.always - self.optional) | (self.always - wanted)


def features(config: ModelConfig) -> frozenset[str]:
    """What sets a model apart from the plainest Llama, by the keys of ModelConfig.

    Biases on queries, keys, values and output together are `attention_bias`, as Llama has them.
    """
    moe = config.moe
    both = config.qkv_bias and config.out_bias
    windowed = config.sliding_window is not None and config.sliding_window_from < config.n_layers
    present = {
        "position": config.position != "rope",
        "head_dim": config.dim % config.n_heads != 0,
        "qk_norm": config.qk_norm,
        "attention_bias": both,
        "qkv_bias": config.qkv_bias and not both,
        "out_bias": config.out_bias and not both,
        # Experts have no biases, shared ones have.
        "mlp_bias": config.mlp_bias and (moe is None or moe.n_shared > 0),
        "sliding_window": windowed,
        "sliding_window_from": windowed and config.sliding_window_from > 0,
        "moe": moe is not None,
    }
    if moe is not None:
        present |= {
            "moe.n_shared": moe.n_shared > 0,
            "moe.balance": moe.balance == "bias",
            "moe.score": moe.score != "softmax",
            "moe.normalize_top_k": not moe.normalize_top_k,
        }
    return frozenset(name for name, here in present.items() if here)


def read_shared(keys: Keys, where: str, family: Family) -> Keys:
    """The keys of ModelConfig that all families have. Raises InputError."""
    for name, only in (("hidden_act", "silu"), ("quantization_config", None)):
        if keys.get(name, only) != only:
            raise InputError(f"{where}: {name} {keys[name]!r}: only {only or 'none'} is known here")
    names = {
        "vocab_size": "vocab_size",
        "dim": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "ffn_dim": "intermediate_size",
    }
    needed = (*names.values(), "max_position_embeddings")
    missing = [theirs for theirs in needed if not isinstance(keys.get(theirs), int)]
    if missing:
        raise InputError(f"{where}: {missing[0]} is missing or no whole number")
    rope = read_rope(keys, where, family.theta)
    read = {ours: keys[theirs] for ours, theirs in names.items()}
    read |= {
        "n_kv_heads": keys.get("num_key_value_heads"),
        "head_dim": keys.get("head_dim"),
        "norm_eps": keys.get("rms_norm_eps", family.norm_eps),
        "tie_embeddings": bool(keys.get("tie_word_embeddings")),
        "rope": rope,
        "max_seq_len": read_max_seq_len(keys, rope),
    }
    if keys.get("initializer_range"):
        read["init_std"] = keys["initializer_range"]
    return read


def write_shared(config: ModelConfig, family: Family) -> Keys:
    """The keys of config.json that all families have."""
    return {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "rms_norm_eps": config.norm_eps,
        "initializer_range": config.init_std,
        "tie_word_embeddings": config.tie_embeddings,
        "use_cache": True,
        **write_rope(config),
    }
