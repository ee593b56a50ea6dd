"""Floating point operations of training, counted from a model's shape. Imports no torch.

A multiplication and an addition are two operations. Backward costs twice what forward does (one
product for the gradient of each factor), so training is three times forward: the 6 N of Kaplan et
al. (arXiv 2001.08361, section 2.1) for matrices, and 12 H d a key for attention (Chowdhery et al.,
arXiv 2204.02311, appendix B). What activation checkpointing and kernels compute twice is not
counted, as is usual for model FLOP/s utilisation (same appendix); neither are norms, rotations,
activations and the softmax.
"""

from __future__ import annotations

from model.config import ModelConfig

PASSES = 3
"""Forward, and the two products of backward."""


def matmul_parameters(config: ModelConfig) -> int:
    """Parameters that multiply every token: all matrices with the head, without the embedding
    (a look-up); of the experts those that a token sees. Biases and norms are no products."""
    queries, keys = config.n_heads * config.head_size, config.kv_heads * config.head_size
    attention = config.dim * (queries + 2 * keys) + queries * config.dim
    layer = attention + feed_forward_parameters(config)
    return config.n_layers * layer + config.vocab_size * config.dim


def feed_forward_parameters(config: ModelConfig) -> int:
    """Of these, the ones in one layer's feed-forward network: three matrices (gate, up, down) for
    each expert that a token sees, and the router."""
    one = 3 * config.dim * config.expert_dim
    if config.moe is None:
        return one
    return (config.moe.top_k + config.moe.n_shared) * one + config.dim * config.moe.n_experts


def keys_seen(length: int, window: int | None, causal: bool) -> float:
    """Keys that a query is charged with, on average over a sequence of `length` tokens.

    `causal` counts those that are visible (itself and what lies before it, within the window);
    otherwise all that a kernel without block skipping touches: length, or the window.
    """
    reach = length if window is None else min(window, length)
    if not causal:
        return float(reach)
    return reach * (2 * length - reach + 1) / (2 * length)


def flops_per_token(config: ModelConfig, sequence_length: int, *, causal: bool = False) -> float:
    """Operations to train on one token of sequences of `sequence_length`.

    By default attention is charged with the whole square of queries and keys, the convention of
    the PaLM paper and of most published MFU; `causal` charges the visible half (about: see
    `keys_seen`). Document borders inside a sequence are not looked at.
    """
    keys = sum(
        keys_seen(sequence_length, config.window_of(layer), causal)
        for layer in range(config.n_layers)
    )
    attention = 4 * config.n_heads * config.head_size * keys
    return PASSES * (2 * matmul_parameters(config) + attention)
