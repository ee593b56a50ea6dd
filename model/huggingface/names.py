"""Hugging Face's names of the tensors of a decoder."""

from __future__ import annotations

from model.config import ModelConfig
from model.huggingface.family import Family

_OUTSIDE = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
_IN_A_LAYER = {
    "attention_norm": "input_layernorm",
    "attention": "self_attn",
    "ffn_norm": "post_attention_layernorm",
    "ffn": "mlp",
}


def their_names(name: str, config: ModelConfig, family: Family) -> tuple[str, ...]:
    """Where the tensor `name` of a decoder lies: under one name, or for stacked experts under the
    names of its slices, expert after expert."""
    if name in _OUTSIDE:
        return (_OUTSIDE[name],)
    _, layer, part, *rest = name.split(".")
    prefix = f"model.layers.{layer}"
    experts = family.experts
    if part == "ffn" and config.moe is not None and experts is not None:
        if rest == ["router", "weight"]:
            return (f"{prefix}.{experts.block}.gate.weight",)
        theirs = {
            "gate_proj": experts.gate,
            "up_proj": experts.up,
            "down_proj": experts.down,
        }[rest[1]]
        numbers = range(config.moe.n_experts)
        return tuple(f"{prefix}.{experts.block}.experts.{n}.{theirs}.weight" for n in numbers)
    return (".".join((prefix, _IN_A_LAYER[part], *rest)),)


def is_stacked(name: str) -> bool:
    """Whether a decoder's tensor holds all experts, each of which has a tensor there."""
    return ".ffn.experts." in name
