"""AdaLoRA's budget against peft's allocator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from model.adapters.config import LoraConfig, RankBudget
from model.adapters.lora import LoraLinear
from training.adapters.budget import RankAllocator, ranks_left

RANK, TARGET, START, STEPS, SETTLE = 4, 2, 2, 20, 5
LAYERS = ["one", "two", "three"]
BUDGET = RankBudget(target_rank=TARGET, start=START, end=STEPS - SETTLE, every=3)


def drawn(shape: torch.Size, *key: int) -> torch.Tensor:
    seed = sum(number * 1000**place for place, number in enumerate(key))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ours() -> dict[str, LoraLinear]:
    config = LoraConfig(rank=RANK, budget=BUDGET)
    layers = {name: LoraLinear(6 + n, 9 - n, False, config) for n, name in enumerate(LAYERS)}
    with torch.no_grad():
        for n, layer in enumerate(layers.values()):
            for k, kind in enumerate(("lora_a", "lora_b", "lora_e")):
                parameter = getattr(layer, kind)
                parameter.copy_(drawn(parameter.shape, n + 1, k + 1))
    return layers


def theirs() -> tuple[nn.Module, Any]:
    """peft's allocator over a module with the same numbers."""
    peft = pytest.importorskip("peft")
    from peft.tuners.adalora.layer import RankAllocator as Allocator

    class Layer(nn.Module):
        def __init__(self, layer: LoraLinear) -> None:
            super().__init__()
            a, b, _, e, _ = layer.factors()
            assert e is not None
            for name, value in (("A", a), ("B", b), ("E", e[:, None])):
                held = nn.ParameterDict({"default": nn.Parameter(value.detach().clone())})
                setattr(self, f"lora_{name}", held)

    model = nn.ModuleDict({name: Layer(layer) for name, layer in ours().items()})
    config = peft.AdaLoraConfig(
        init_r=RANK,
        target_r=TARGET,
        tinit=START,
        tfinal=SETTLE,
        deltaT=BUDGET.every,
        total_step=STEPS,
        target_modules=LAYERS,
    )
    return model, Allocator(model, config, "default")


def test_ranks_fall_as_theirs() -> None:
    _, allocator = theirs()
    first = RANK * len(LAYERS)
    for step in range(1, STEPS - SETTLE + 1):
        expected, _ = allocator.budget_schedule(step)
        assert ranks_left(BUDGET, first, len(LAYERS), step) == expected
    assert ranks_left(BUDGET, first, len(LAYERS), STEPS) == TARGET * len(LAYERS)


def test_the_same_triplets_are_kept() -> None:
    layers, (model, allocator) = ours(), theirs()
    mine = RankAllocator(layers, BUDGET.model_copy(update={"orthogonality": 0.0}))
    chosen = 0
    for step in range(1, STEPS - SETTLE + 1):
        for n, (name, layer) in enumerate(layers.items()):
            other = model[name]
            for k, (kind, at) in enumerate((("a", "A"), ("b", "B"), ("e", "E"))):
                parameter = getattr(layer, f"lora_{kind}")
                gradient = drawn(parameter.shape, n + 1, k + 1, step)
                parameter.grad = gradient
                held = getattr(other, f"lora_{at}")["default"]
                held.grad = gradient.view(held.shape)
        mine.after_backward(step)
        if step < STEPS - SETTLE:
            allocator.update_ipt(model)
        before = [layer.lora_e.detach().clone() for layer in layers.values()]
        mine.after_step(step)
        due = step > START and (step - START) % BUDGET.every == 0
        if not due and step < BUDGET.end:
            continue
        allocator.mask_to_budget(model, ranks_left(BUDGET, RANK * len(LAYERS), len(LAYERS), step))
        for name, layer in layers.items():
            expected = model[name].lora_E["default"].flatten()
            torch.testing.assert_close(layer.lora_e, expected, atol=0, rtol=0)
        chosen += 1
        with torch.no_grad():
            # What was taken away may come back: training would move it.
            for (name, layer), old in zip(layers.items(), before, strict=True):
                layer.lora_e.copy_(old)
                model[name].lora_E["default"].copy_(old[:, None])
    assert chosen == 5
    mine.after_step(STEPS)
    assert sum(int(layer.lora_e.count_nonzero()) for layer in layers.values()) == 6


def test_the_regularisation_has_the_gradient_of_theirs() -> None:
    layers = ours()
    loss = torch.zeros(())
    count = 0
    for layer in layers.values():
        for matrix in (layer.lora_a, layer.lora_b.t()):
            loss = loss + torch.norm(matrix @ matrix.t() - torch.eye(RANK), p="fro")
            count += 1
    expected = torch.autograd.grad(
        BUDGET.orthogonality * loss / count,
        [p for layer in layers.values() for p in (layer.lora_a, layer.lora_b)],
    )
    for layer in layers.values():
        for kind in ("lora_a", "lora_b", "lora_e"):
            parameter = getattr(layer, kind)
            parameter.grad = torch.zeros_like(parameter)
    RankAllocator(layers, BUDGET).after_backward(1)
    found = [p.grad for layer in layers.values() for p in (layer.lora_a, layer.lora_b)]
    for ours_, theirs_ in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_, theirs_, atol=1e-6, rtol=1e-5)


def set_gradients(layers: dict[str, LoraLinear], key: int, scale: float = 1.0) -> None:
    for layer in layers.values():
        for kind in ("lora_a", "lora_b", "lora_e"):
            parameter = getattr(layer, kind)
            parameter.grad = drawn(parameter.shape, key) * scale


def test_a_step_that_is_skipped_leaves_no_trace() -> None:
    layers = ours()
    never, skipped = RankAllocator(layers, BUDGET), RankAllocator(layers, BUDGET)
    set_gradients(layers, 4, float("nan"))
    skipped.before_forward(1)
    skipped.after_backward(1)
    # Its gradients may not reach some layers of the next step.
    for layer in layers.values():
        layer.lora_a.grad = layer.lora_b.grad = layer.lora_e.grad = None
    for allocator in (never, skipped):
        allocator.before_forward(2)
        allocator.after_backward(2)
        allocator.after_step(2)
    for name, tensor in never.state().items():
        assert torch.equal(skipped.state()[name], tensor)


def test_the_objective_has_the_regularisation_in_it() -> None:
    """As in peft, whose loss holds it when importance is taken."""
    layers = ours()
    set_gradients(layers, 3, 0.0)
    allocator = RankAllocator(layers, BUDGET)
    allocator.after_backward(1)
    allocator.after_step(1)
    for name, layer in layers.items():
        expected = 0.15 * (layer.lora_a * layer.lora_a.grad).abs()
        torch.testing.assert_close(allocator.importance[f"{name}.lora_a"], expected)


def test_an_average_keeps_the_budget_from_its_end_on() -> None:
    layers = ours()
    allocator = RankAllocator(layers, BUDGET)
    averages = {f"{name}.lora_e": torch.ones(RANK) for name in layers}
    allocator.follow(averages)

    def kept(step: int) -> int:
        set_gradients(layers, step)
        allocator.before_forward(step)
        allocator.after_backward(step)
        allocator.after_step(step)
        return sum(int(average.count_nonzero()) for average in averages.values())

    assert kept(START + BUDGET.every) == RANK * len(LAYERS)
    assert kept(BUDGET.end) == TARGET * len(LAYERS)


def test_state_is_loaded_in_place() -> None:
    layers = ours()
    first, second = RankAllocator(layers, BUDGET), RankAllocator(layers, BUDGET)
    set_gradients(layers, 3)
    first.after_backward(1)
    first.after_step(1)
    for name, tensor in second.state().items():
        tensor.copy_(first.state()[name])
    assert len(first.state()) == 18
    for layer in LAYERS:
        assert torch.equal(first._scores(layer), second._scores(layer))
