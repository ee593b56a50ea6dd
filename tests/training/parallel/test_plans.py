"""What plans leave in a model, seen in one process."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from model.adapters.config import LoraConfig
from model.adapters.targets import adapt, adapted_layers
from model.config import ModelConfig
from model.decoder import Decoder
from schemas.errors import InputError, UsageError
from tests.builders.layouts import SEED, batch, configuration, shape
from training.parallel.activation import checkpoint_blocks
from training.parallel.compiled import compile_blocks, what_stays_uncompiled
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel

MODEL = shape(qkv_bias=True)
CPU = torch.device("cpu")


class Operators(TorchDispatchMode):
    """Counts what runs."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.counts[operator.name().partition(".")[0]] += 1
        return operator(*args, **(kwargs or {}))


def operators(mode: str) -> Counter[str]:
    decoder = Decoder(MODEL)
    decoder.initialize(SEED)
    checkpoint_blocks(decoder, mode)
    tokens, labels, positions, documents = batch(0, MODEL.vocab_size)
    with Operators() as seen:
        decoder(tokens, positions, documents, labels)[0].backward()
    return seen.counts


def test_what_is_recomputed() -> None:
    none, selective, full = (operators(mode) for mode in ("none", "selective", "full"))
    dear = ("aten::mm", "aten::addmm", "aten::_scaled_dot_product_flash_attention_for_cpu")
    for name in dear:
        assert none[name] == selective[name] < full[name]
    assert none["aten::silu"] < selective["aten::silu"] == full["aten::silu"] == 4


def gradients_of_adapters(mode: str, dropout: float) -> dict[str, Tensor]:
    """Of a step whose masks are drawn from one seed."""
    decoder, config = Decoder(MODEL), LoraConfig(rank=4, dropout=dropout)
    decoder.initialize(SEED)
    adapt(decoder, adapted_layers(MODEL, config), config)
    checkpoint_blocks(decoder, mode)
    torch.manual_seed(SEED)
    found = {n: p for n, p in decoder.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in found.values():
            parameter.normal_(std=0.1)
    tokens, labels, positions, documents = batch(0, MODEL.vocab_size)
    decoder(tokens, positions, documents, labels)[0].backward()
    return {name: p.grad for name, p in found.items() if p.grad is not None}


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_what_was_dropped_is_dropped_again(mode: str) -> None:
    expected = gradients_of_adapters("none", 0.3)
    found = gradients_of_adapters(mode, 0.3)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)
    undropped = gradients_of_adapters("none", 0.0)
    assert any((undropped[n] - expected[n]).abs().max() > 1e-2 for n in expected)


def test_names_stay_as_they_are() -> None:
    names = list(Decoder(MODEL).state_dict())
    decoder = Decoder(MODEL)
    checkpoint_blocks(decoder, "full")
    compile_blocks(decoder)
    assert list(decoder.state_dict()) == names
    assert [name for name, _ in decoder.named_modules()] == [
        name for name, _ in Decoder(MODEL).named_modules()
    ]


def alone(**train: Any) -> ParallelModel:
    return ParallelModel.build(MODEL, configuration({}, **train), ParallelDims(), CPU)


def test_weights_are_those_of_the_plain_decoder() -> None:
    decoder = Decoder(MODEL)
    decoder.initialize(SEED)
    built = alone()
    for name, weight in decoder.named_parameters():
        assert torch.equal(built.full_parameter(name), weight)


def test_weights_by_name() -> None:
    built = alone()
    state = {name: torch.randn(p.shape) for name, p in built.named_parameters()}
    built.load_state(state.__getitem__)
    assert all(torch.equal(p, state[name]) for name, p in built.named_parameters())
    state["head.weight"] = state["head.weight"][:5]
    with pytest.raises(InputError, match=r"head.weight: weights of shape \[5, 32\] for .*\[37, 32"):
        built.load_state(state.__getitem__)


def test_what_a_layer_of_experts_has_learned_to_prefer_is_a_weight() -> None:
    moe = {"n_experts": 4, "top_k": 2, "balance": "bias"}
    sparse = ModelConfig.model_validate({**MODEL.model_dump(), "moe": moe})
    built = ParallelModel.build(sparse, configuration({}), ParallelDims(), CPU)
    state = {name: torch.randn(t.shape) for name, t in built.parts[0].state_dict().items()}
    built.load_state(state.__getitem__)
    loaded = built.parts[0].state_dict()
    assert any(name.endswith("choice_bias") for name in loaded)
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())


def test_evaluation_is_the_sum_of_its_rows() -> None:
    built = alone()
    whole = batch(0, MODEL.vocab_size)
    rows = [built.evaluate(type(whole)(*(x[i : i + 1] for x in whole))) for i in range(8)]
    torch.testing.assert_close(built.evaluate(whole), torch.stack(rows).sum(dim=0))
    assert all(p.grad is None for _, p in built.named_parameters())


def test_bfloat16_computes_in_it_and_keeps_float32() -> None:
    built = alone(dtype="bfloat16")
    seen: list[Tensor] = []
    q_proj = built.parts[0].get_submodule("layers.0.attention.q_proj")
    q_proj.register_forward_hook(lambda module, inputs, output: seen.append(output))
    built.forward_backward([batch(0, MODEL.vocab_size)], 100.0, 0.0)
    assert seen[0].dtype == torch.bfloat16
    for _, parameter in built.named_parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32


def test_ranks_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="laid out for 2 ranks, but 1 are running"):
        ParallelModel.build(MODEL, configuration({}), ParallelDims(dp_shard=2), CPU)


@pytest.mark.parametrize("mode", ["none", "selective", "full"])
@pytest.mark.parametrize(
    "changes", [{}, {"position": "alibi"}, {"moe": {"n_experts": 4, "top_k": 2}}]
)
def test_all_blocks_share_one_compiled_graph(changes: dict[str, Any], mode: str) -> None:
    torch._dynamo.reset()
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Any:
        graphs.append(graph)
        return graph.forward

    model = shape(n_layers=3, **changes)
    expected, decoder = Decoder(model), Decoder(model)
    checkpoint_blocks(decoder, mode)
    compile_blocks(decoder, backend)
    for each in (expected, decoder):
        each.initialize(SEED)
        for step in range(2):
            tokens, labels, positions, documents = batch(step, model.vocab_size)
            each(tokens, positions, documents, labels)[0].backward()
    # Experts count their load, which torch does not compile in a part that is recomputed.
    assert len(graphs) == (0 if model.moe is not None and mode != "none" else 1)
    for (name, ours), theirs in zip(decoder.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


@pytest.mark.parametrize("mode", ["none", "full"])
@pytest.mark.parametrize("options", [{}, {"dora": True}, {"quantize": "nf4"}], ids=str)
def test_blocks_with_adapters_are_compiled(options: dict[str, Any], mode: str) -> None:
    torch._dynamo.reset()
    model, config = shape(n_layers=2), LoraConfig(rank=4, **options)
    expected, decoder = Decoder(model), Decoder(model)
    for each in (expected, decoder):
        each.initialize(SEED)
        adapt(each, adapted_layers(model, config), config)
        drawn = torch.Generator().manual_seed(SEED)
        with torch.no_grad():
            for parameter in each.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.1, generator=drawn)
    checkpoint_blocks(decoder, mode)
    compile_blocks(decoder, "aot_eager")
    tokens, labels, positions, documents = batch(0, model.vocab_size)
    for each in (expected, decoder):
        each(tokens, positions, documents, labels)[0].backward()
    for (name, ours), theirs in zip(decoder.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


def test_what_is_not_compiled_is_said() -> None:
    sparse = shape(moe={"n_experts": 4, "top_k": 2})
    compiled = configuration({}, compile=True)
    assert what_stays_uncompiled(shape(), configuration({"ep": 2}, compile=True)) == []
    assert what_stays_uncompiled(sparse, compiled) == []
    assert what_stays_uncompiled(sparse, configuration({"ep": 2})) == []
    (experts,) = what_stays_uncompiled(sparse, configuration({"ep": 2}, compile=True))
    assert "parallel.ep" in experts
    recomputed = configuration({}, compile=True, activation_checkpointing="full")
    (blocks,) = what_stays_uncompiled(sparse, recomputed)
    assert "blocks with experts run uncompiled" in blocks
