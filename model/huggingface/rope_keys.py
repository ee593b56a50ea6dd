"""Rotary keys of a `config.json`: transformers 5's `rope_parameters` and the older two keys."""

from __future__ import annotations

from typing import Any

from model.config import ModelConfig
from model.rope_scaling import ntk_theta, yarn_magnitude
from schemas.errors import InputError

OURS = {"default": "none", "linear": "linear", "dynamic": "dynamic"} | {
    name: name for name in ("yarn", "llama3")
}
"""Scalings by the name that transformers gives them. `ntk` is a plain rotation of another base."""


def read_rope(keys: dict[str, Any], where: str, default_theta: float) -> dict[str, Any]:
    """`RopeConfig`'s keys, of a config.json named `where`.

    Raises InputError for a rotation that ours has no name for.
    """
    found = keys.get("rope_parameters") or keys.get("rope_scaling") or {}
    kind = found.get("rope_type") or found.get("type") or "default"
    if kind not in OURS:
        raise InputError(f"{where}: rope type {kind!r} is none of {', '.join(OURS)}")
    partial = found.get("partial_rotary_factor", keys.get("partial_rotary_factor"))
    if partial not in (None, 1, 1.0):
        raise InputError(f"{where}: partial_rotary_factor {partial}: only whole heads are rotated")
    rope: dict[str, Any] = {
        "theta": found.get("rope_theta") or keys.get("rope_theta") or default_theta,
        "scaling": OURS[kind],
    }
    if kind == "default":
        return rope
    longest = keys["max_position_embeddings"]
    # `dynamic` has no key of its own for it.
    original = None if kind == "dynamic" else found.get("original_max_position_embeddings")
    factor = found.get("factor")
    if factor is None and kind == "yarn" and original:
        factor = longest / original
    if not isinstance(factor, int | float):
        raise InputError(f"{where}: a {kind} rotation needs a number as factor")
    rope["factor"] = factor
    if kind != "linear":
        rope["original_len"] = original or longest
    if kind == "llama3":
        rope |= {n: found[n] for n in ("low_freq_factor", "high_freq_factor") if n in found}
    if kind == "yarn":
        rope |= _read_yarn(found, factor, where)
    return rope


def read_max_seq_len(keys: dict[str, Any], rope: dict[str, Any]) -> int:
    """Tokens of context: `max_position_embeddings`, or what a stretched rotation reaches where
    that is the length of training (`dynamic` always, `yarn` as Qwen2.5's page turns it on)."""
    longest: int = keys["max_position_embeddings"]
    if rope["scaling"] not in ("dynamic", "yarn"):
        return longest
    return max(longest, int(rope["original_len"] * rope["factor"]))


def _read_yarn(found: dict[str, Any], factor: float, where: str) -> dict[str, Any]:
    if found.get("truncate", True) is not True:
        raise InputError(f"{where}: yarn's truncate: false is not known here")
    read: dict[str, Any] = {}
    for name in ("beta_fast", "beta_slow"):
        if found.get(name):
            read[name] = found[name]
    if found.get("attention_factor") is not None:
        read["attn_factor"] = found["attention_factor"]
    elif found.get("mscale") and found.get("mscale_all_dim"):
        # DeepSeek's two factors (transformers, modeling_rope_utils.py, get_mscale).
        top, bottom = (
            1 + found[name] * (yarn_magnitude(factor) - 1) for name in ("mscale", "mscale_all_dim")
        )
        read["attn_factor"] = top / bottom
    return read


def write_rope(config: ModelConfig) -> dict[str, Any]:
    """The keys of a config.json, spelled so that transformers 4.50 and 5 read the same.

    `dynamic` counts from `max_position_embeddings` there, which therefore holds the length of
    training. transformers 4 took YaRN's factor from `max_position_embeddings` where there is an
    original length: the two agree if max_seq_len is factor times original_len.
    """
    rope = config.rope
    original = rope.original_len or config.max_seq_len
    theta, kind = rope.theta, "default" if rope.scaling == "none" else rope.scaling
    if kind == "ntk":
        theta, kind = ntk_theta(rope, config.head_size), "default"
    scaling: dict[str, Any] = {"rope_type": kind}
    if kind != "default":
        scaling["factor"] = rope.factor
    if kind in ("yarn", "llama3"):
        scaling["original_max_position_embeddings"] = original
    if kind == "yarn":
        scaling |= {"beta_fast": rope.beta_fast, "beta_slow": rope.beta_slow}
        if rope.attn_factor is not None:
            scaling["attention_factor"] = rope.attn_factor
    if kind == "llama3":
        scaling |= {
            "low_freq_factor": rope.low_freq_factor,
            "high_freq_factor": rope.high_freq_factor,
        }
    return {
        "max_position_embeddings": original if kind == "dynamic" else config.max_seq_len,
        "rope_theta": theta,
        "rope_scaling": None if kind == "default" else scaling,
        "rope_parameters": {**scaling, "rope_theta": theta},
    }
