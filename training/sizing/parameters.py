"""Parameters of a shape, by what divides them over ranks. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple

from model.config import ModelConfig


class LayerParameters(NamedTuple):
    """Of one layer."""

    cut: int
    """Matrices and biases that tensor parallelism cuts: attention, the dense network."""
    whole: int
    """What every rank of tensor parallelism holds: norms, router, shared experts, the biases of
    projections into the residual stream."""
    experts: int
    """What expert parallelism deals out."""
    orthogonalized: int
    """Of all these, what Muon takes: the matrices without the router."""

    @property
    def total(self) -> int:
        """All."""
        return self.cut + self.whole + self.experts


class ModelParameters(NamedTuple):
    """Of a model."""

    embedding: int
    head: int
    """0 where it is the embedding."""
    layer: LayerParameters
    n_layers: int
    norm: int

    @property
    def total(self) -> int:
        """All, each once."""
        return self.embedding + self.head + self.n_layers * self.layer.total + self.norm


def count(config: ModelConfig) -> ModelParameters:
    """The parameters that `Decoder(config)` has."""
    table = config.vocab_size * config.dim
    return ModelParameters(
        embedding=table,
        head=0 if config.tie_embeddings else table,
        layer=_layer(config),
        n_layers=config.n_layers,
        norm=config.dim,
    )


def _layer(config: ModelConfig) -> LayerParameters:
    dim, moe = config.dim, config.moe
    queries, keys = config.n_heads * config.head_size, config.kv_heads * config.head_size
    attention = 2 * dim * queries + 2 * dim * keys
    cut = attention + (queries + 2 * keys if config.qkv_bias else 0)
    whole = 2 * dim + (2 * config.head_size if config.qk_norm else 0)
    whole += dim if config.out_bias else 0
    if moe is None:
        dense = 3 * dim * config.hidden_dim
        cut += dense + (2 * config.hidden_dim if config.mlp_bias else 0)
        whole += dim if config.mlp_bias else 0
        return LayerParameters(cut, whole, 0, attention + dense)
    shared_dim = moe.n_shared * config.expert_dim
    shared = 3 * dim * shared_dim
    experts = 3 * dim * config.expert_dim * moe.n_experts
    whole += shared + dim * moe.n_experts
    if config.mlp_bias and shared_dim:
        whole += 2 * shared_dim + dim
    return LayerParameters(cut, whole, experts, attention + shared + experts)
