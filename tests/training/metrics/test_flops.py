"""FLOPs from the shape against torch's counter, which looks at the products as they happen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.attention import Visibility
from model.config import ModelConfig
from model.decoder import Decoder
from model.experts import Experts
from training.metrics.flops import flops_per_token, keys_seen, matmul_parameters

SHAPE: dict[str, Any] = {"vocab_size": 96, "dim": 32, "n_layers": 3, "n_heads": 4, "ffn_dim": 80}
MOE = {"n_experts": 4, "top_k": 2, "ffn_dim": 48}
CASES: dict[str, dict[str, Any]] = {
    "dense": {},
    "grouped": {"n_kv_heads": 2},
    "multi-query": {"n_kv_heads": 1, "head_dim": 16},
    "tied": {"tie_embeddings": True},
    "biases": {"qkv_bias": True, "out_bias": True, "mlp_bias": True},
    "head norms": {"qk_norm": True},
    "experts": {"moe": MOE},
    "shared experts": {"moe": {**MOE, "n_shared": 2}},
}
BATCH = 2


def counted(config: ModelConfig, length: int) -> float:
    """FLOPs a token of forward and backward, as torch counts them.

    Attention is torch's, over whole rows, in its MATH backend: the counter charges fused
    attention's backward with the scores that it makes anew (7 products in place of 6), which are no
    model FLOPs. Causal masks are not looked at by either. Experts multiply in a loop: the counter
    does not know grouped products. The loss is a sum of logits: nothing is made twice, as the
    chunks of the cross-entropy would be.
    """
    torch.manual_seed(0)
    model = Decoder(config)
    model.initialize(0)
    model.attention_kernel = "sdpa"
    for module in model.modules():
        if isinstance(module, Experts):
            module.kernel = "loop"
    tokens = torch.randint(config.vocab_size, (BATCH, length))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens).square().sum().backward()
    return counter.get_total_flops() / (BATCH * length)


@pytest.mark.parametrize("length", [16, 64, 200])
@pytest.mark.parametrize("case", CASES)
def test_shape_arithmetic_agrees_with_torchs_counter(case: str, length: int) -> None:
    config = ModelConfig(**{**SHAPE, **CASES[case]})
    assert flops_per_token(config, length) == pytest.approx(counted(config, length), rel=0.01)


@pytest.mark.parametrize("window", [None, 1, 5, 12, 40])
def test_causal_counts_the_keys_that_the_mask_shows(window: int | None) -> None:
    length = 12
    positions = torch.arange(length)[None]
    see = Visibility(positions, positions, aligned=True)
    visible = see.dense(window).sum().item() / length
    assert keys_seen(length, window, causal=True) == pytest.approx(visible)


def test_windows_bind_only_the_layers_that_have_one() -> None:
    config = ModelConfig(**SHAPE, sliding_window=8, sliding_window_from=1)
    whole, bare = ModelConfig(**SHAPE), 6 * matmul_parameters(config)
    all_layers = flops_per_token(whole, 64) - bare
    assert flops_per_token(config, 64) - bare == all_layers / 3 * (1 + 2 * 8 / 64)


def test_matmul_parameters_are_those_of_the_modules() -> None:
    config = ModelConfig(**SHAPE, n_kv_heads=2)
    matrices = [p.numel() for n, p in Decoder(config).named_parameters() if p.ndim == 2]
    assert matmul_parameters(config) == sum(matrices) - config.vocab_size * config.dim
