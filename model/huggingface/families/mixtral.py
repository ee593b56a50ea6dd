"""Mixtral: experts on every layer."""

from __future__ import annotations

from model.config import ModelConfig
from model.huggingface.families.mistral import write_window
from model.huggingface.family import ExpertNames, Family, Keys


def _read(keys: Keys, where: str) -> Keys:
    moe = {
        "n_experts": keys.get("num_local_experts", 8),
        "top_k": keys.get("num_experts_per_tok", 2),
        "aux_coef": keys.get("router_aux_loss_coef", 0.001),
    }
    return {"sliding_window": keys.get("sliding_window"), "moe": moe}


def _write(config: ModelConfig) -> Keys:
    assert config.moe is not None
    return {
        "intermediate_size": config.expert_dim,
        "num_local_experts": config.moe.n_experts,
        "num_experts_per_tok": config.moe.top_k,
        "router_aux_loss_coef": config.moe.aux_coef,
        "output_router_logits": False,
        **write_window(config),
    }


MIXTRAL = Family(
    model_type="mixtral",
    architecture="MixtralForCausalLM",
    always=frozenset({"moe"}),
    optional=frozenset({"sliding_window", "head_dim"}),
    read=_read,
    write=_write,
    norm_eps=1e-5,
    theta=1_000_000.0,
    experts=ExpertNames("block_sparse_moe", gate="w1", up="w3", down="w2"),
)
