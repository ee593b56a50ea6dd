"""Qwen 3 with experts on every layer."""

from __future__ import annotations

from model.config import ModelConfig
from model.huggingface.family import ExpertNames, Family, Keys
from schemas.errors import InputError


def _read(keys: Keys, where: str) -> Keys:
    if keys.get("mlp_only_layers") or keys.get("decoder_sparse_step", 1) != 1:
        raise InputError(
            f"{where}: mlp_only_layers, decoder_sparse_step: only experts on all layers are known "
            "here"
        )
    bias = bool(keys.get("attention_bias"))
    moe = {
        "n_experts": keys.get("num_experts", keys.get("num_local_experts", 128)),
        "top_k": keys.get("num_experts_per_tok", 8),
        "ffn_dim": keys.get("moe_intermediate_size", 768),
        "normalize_top_k": bool(keys.get("norm_topk_prob")),
        "aux_coef": keys.get("router_aux_loss_coef", 0.001),
    }
    window = keys.get("sliding_window") if keys.get("use_sliding_window") else None
    return {
        "qk_norm": True,
        "qkv_bias": bias,
        "out_bias": bias,
        "sliding_window": window,
        "moe": moe,
    }


def _write(config: ModelConfig) -> Keys:
    assert config.moe is not None
    window = config.window_of(config.n_layers - 1)
    return {
        "attention_bias": config.qkv_bias,
        "use_sliding_window": window is not None,
        "sliding_window": window,
        # transformers 4 knew windows from one layer on here, too.
        "max_window_layers": 0 if window is not None else config.n_layers,
        "num_experts": config.moe.n_experts,
        "num_experts_per_tok": config.moe.top_k,
        "moe_intermediate_size": config.expert_dim,
        "norm_topk_prob": config.moe.normalize_top_k,
        "router_aux_loss_coef": config.moe.aux_coef,
        "output_router_logits": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


QWEN3_MOE = Family(
    model_type="qwen3_moe",
    architecture="Qwen3MoeForCausalLM",
    always=frozenset({"moe", "qk_norm"}),
    optional=frozenset({"attention_bias", "moe.normalize_top_k", "sliding_window", "head_dim"}),
    read=_read,
    write=_write,
    experts=ExpertNames("mlp", gate="gate_proj", up="up_proj", down="down_proj"),
)
