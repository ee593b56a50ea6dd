"""The arithmetic against the bytes that a real step holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.cross_entropy import CHUNK_TOKENS as REAL_CHUNK
from model.decoder import Decoder
from model.presets import PRESETS, preset
from training.config import Optimizer
from training.metrics.flops import matmul_parameters
from training.optim.average import WeightAverage
from training.optim.optimizers import build_optimizer
from training.optim.parameters import named_parameters
from training.parallel.activation import checkpoint_blocks
from training.parallel.dims import ParallelDims
from training.sizing.memory import CHUNK_TOKENS, Memory, Step, layer_bytes, memory
from training.sizing.parameters import count
from training.sizing.plan import MODES

ALONE = ParallelDims()
SHAPE: dict[str, Any] = {"vocab_size": 64, "dim": 32, "n_layers": 2, "n_heads": 4, "ffn_dim": 96}
CASES: dict[str, dict[str, Any]] = {
    "dense": {},
    "grouped and tied": {"n_kv_heads": 2, "tie_embeddings": True},
    "biases and head norms": {
        **dict.fromkeys(("qkv_bias", "out_bias", "mlp_bias", "qk_norm"), True),
        "head_dim": 16,
    },
    "experts": {"moe": {"n_experts": 4, "top_k": 2, "ffn_dim": 48, "n_shared": 2}},
    "experts with biases": {"moe": {"n_experts": 4, "top_k": 1, "n_shared": 1}, "mlp_bias": True},
}


def size(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_parameters_gradients_and_states_to_the_byte(case: str, optimizer: Any) -> None:
    config = ModelConfig(**{**SHAPE, **CASES[case]})
    model = Decoder(config)
    model.initialize(0)
    named = dict(named_parameters([model]))
    found = build_optimizer(named.items(), Optimizer(name=optimizer))
    average = WeightAverage([model], 0.99)
    expected = memory(config, ALONE, Step(16, 1, 4, optimizer=optimizer, average=True))
    assert expected.parameters == size(named.values())
    assert expected.gradients == size(named.values())
    # Counts of steps, one number each, are not planned for.
    assert expected.optimizer == size(s for s in found.state().values() if s.ndim)
    assert expected.average == size(s for s in average.state().values() if s.ndim)
    assert count(config).total == sum(p.numel() for p in named.values())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_without_making_them(name: str) -> None:
    config = preset(name, 1024)
    with torch.device("meta"):
        model = Decoder(config)
    found = count(config)
    assert found.total == sum(p.numel() for p in model.parameters())
    assert matmul_parameters(config) <= found.total


class Kept:
    """Storages that autograd keeps for the backward pass, each once, without the parameters."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.storages: dict[int, int] = {}
        self._alive: list[Tensor] = []

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._own:
            self.storages[storage.data_ptr()] = storage.nbytes()
            self._alive.append(tensor)
        return tensor


def kept_bytes(config: ModelConfig, layers: int, mode: str, tokens: Tensor) -> int:
    model = Decoder(config.model_copy(update={"n_layers": layers}))
    model.initialize(0)
    model.attention_kernel = "sdpa"
    checkpoint_blocks(model, mode)
    kept = Kept(model)
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        model(tokens)
    return sum(kept.storages.values())


@pytest.mark.parametrize("kv_heads", [8, 2])
def test_a_layers_activations_within_a_tenth(kv_heads: int) -> None:
    """Two layers more, less the two: what ends and cosines take falls out.

    On the CPU torch's norm is made of parts and keeps its input's normalised form besides, 4 bytes
    a number and norm; and attention keeps the keys and values repeated for their queries.
    """
    config = ModelConfig(
        vocab_size=64, dim=128, n_layers=4, n_heads=8, n_kv_heads=kv_heads, ffn_dim=384
    )
    tokens = torch.randint(64, (2, 64))
    kept = kept_bytes(config, 4, "none", tokens) - kept_bytes(config, 2, "none", tokens)
    on_cpu = 4 * 2 * config.dim
    repeated = 4 * 2 * (config.n_heads - kv_heads) * config.head_size
    expected = layer_bytes(config, ALONE, Step(64, 2, 4)) + on_cpu + repeated
    assert kept / 2 / tokens.numel() == pytest.approx(expected, rel=0.1)


def test_full_checkpointing_keeps_a_layers_input_alone() -> None:
    config = ModelConfig(vocab_size=64, dim=128, n_layers=4, n_heads=8, ffn_dim=384)
    tokens = torch.randint(64, (2, 64))
    kept = kept_bytes(config, 4, "full", tokens) - kept_bytes(config, 2, "full", tokens)
    assert kept / 2 / tokens.numel() == pytest.approx(4 * config.dim, rel=0.1)


def needed(dims: ParallelDims, **step: Any) -> Memory:
    return memory(preset("llama3-8b", 128_256), dims, Step(8192, 1, **step))


def test_modes_keep_less_and_less() -> None:
    amounts = [needed(ALONE, checkpointing=mode).activations for mode in MODES]
    assert amounts == sorted(amounts, reverse=True)
    assert amounts[2] < amounts[0] / 5


@pytest.mark.parametrize("axis", ["dp_shard", "tp", "pp", "cp"])
def test_each_axis_divides_what_it_is_for(axis: str) -> None:
    one, four = needed(ALONE), needed(ParallelDims(**{axis: 4}, pp_microbatches=8))
    assert four.parameters == pytest.approx(one.parameters / 4, rel=0.2 if axis == "pp" else 0.01)
    if axis in ("cp", "tp"):
        assert four.activations < 0.6 * one.activations
    if axis in ("dp_shard", "pp"):
        # As many micro-batches in flight as stages.
        assert four.activations == pytest.approx(one.activations, rel=0.01)


def test_interleaved_stages_hold_as_much_and_keep_more() -> None:
    plain, interleaved = (
        ParallelDims(pp=4, pp_parts=each, pp_microbatches=8, dp_shard=2) for each in (1, 2)
    )
    assert needed(interleaved)[:4] == needed(plain)[:4]
    # The first rank begins 4 + 2 * 3 + 1 forward passes of half its layers before it ends one.
    kept = needed(interleaved).activations / needed(plain).activations
    assert kept == pytest.approx(11 / 2 / 4, rel=0.01)


def test_replicas_divide_nothing_and_experts_only_what_is_gathered() -> None:
    one, replicated = needed(ALONE), needed(ParallelDims(dp_replicate=4))
    assert replicated[:4] == one[:4]
    config = preset("mixtral-like", 32_000)
    step = Step(4096, 1)
    sharded, dealt = (memory(config, ParallelDims(dp_shard=8, ep=n), step) for n in (1, 8))
    assert dealt.parameters == sharded.parameters
    assert dealt.copies < sharded.copies / 3


def test_llama_8b_in_float32_state_is_sixteen_bytes_a_parameter() -> None:
    found = needed(ALONE)
    state = found.parameters + found.gradients + found.optimizer
    assert state == 16 * 8_030_261_248  # meta-llama/Meta-Llama-3-8B's size


def test_the_chunk_is_the_models() -> None:
    assert CHUNK_TOKENS == REAL_CHUNK
