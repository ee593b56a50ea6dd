"""Against torch's own optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

from model.decoder import Decoder
from model.presets import preset
from training.config import Optimizer
from training.optim import Optimizers, build_optimizer, model_state, named_parameters
from training.optim.muon import Muon, orthogonalize, update_scale


def decoder(shape: str = "debug", **changes: object) -> Decoder:
    made = Decoder(preset(shape, 64, **changes))
    made.initialize(1)
    return made


def backward(model: Decoder, seed: int) -> None:
    tokens = torch.randint(0, 64, (2, 16), generator=torch.Generator().manual_seed(seed))
    (model(tokens, labels=tokens.roll(-1, 1))[0] / tokens.numel()).backward()


def names_of(optimizers: Optimizers, model: Decoder, group: int) -> set[str]:
    held = {id(p) for p in optimizers.param_groups[group]["params"]}
    return {name for name, p in model.named_parameters() if id(p) in held}


def test_decay_on_matrices_only() -> None:
    model = decoder(qkv_bias=True, qk_norm=True)
    optimizers = build_optimizer(named_parameters([model]), Optimizer(weight_decay=0.3))
    for number, group in enumerate(optimizers.param_groups):
        for name in names_of(optimizers, model, number):
            vector = name.endswith(("norm.weight", "bias"))
            assert group["weight_decay"] == (0.0 if vector else 0.3), name
    assert sum(len(g["params"]) for g in optimizers.param_groups) == len(list(model.parameters()))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_decay_of_adapters(name: str) -> None:
    """Of LoRA's matrices, not of AdaLoRA's, which are held orthonormal, nor of virtual tokens."""
    matrix, vector = torch.ones(2, 2), torch.ones(2)
    decayed = dict.fromkeys(("layers.0.q_proj.lora_a", "layers.0.q_proj.lora_b"), matrix)
    others = {
        "layers.0.k_proj.lora_a": matrix,
        "layers.0.k_proj.lora_b": matrix,
        "layers.0.k_proj.lora_e": vector,
        "virtual.embeddings": matrix,
        "layers.0.attention.exchange.keys": matrix,
    }
    named = {
        n: nn.Parameter(t.clone()) for n, t in {**dict.fromkeys(decayed, matrix), **others}.items()
    }
    optimizers = build_optimizer(named.items(), Optimizer(name=name, weight_decay=0.3))
    found = {
        id(parameter): group["weight_decay"]
        for group in optimizers.param_groups
        for parameter in group["params"]
    }
    assert {n: found[id(p)] for n, p in named.items()} == {
        **dict.fromkeys(decayed, 0.3),
        **dict.fromkeys(others, 0.0),
    }


@pytest.mark.parametrize("shape", ["debug", "debug-moe"])
def test_muon_takes_the_matrices_between_hidden_states(shape: str) -> None:
    model = decoder(shape)
    optimizers = build_optimizer(named_parameters([model]), Optimizer(name="muon", muon_lr=0.02))
    groups = enumerate(optimizers.param_groups)
    taken = set().union(
        *(names_of(optimizers, model, n) for n, group in groups if group["initial_lr"] == 0.02)
    )
    expected = {n for n, _ in model.named_parameters() if "_proj" in n}
    assert taken == expected
    assert any(p.ndim == 3 for p in model.parameters()) == (shape == "debug-moe")


def test_adamw_is_torchs() -> None:
    ours, theirs = decoder(), decoder()
    config = Optimizer(lr=3e-3, weight_decay=0.2, beta1=0.8, beta2=0.9)
    optimizers = build_optimizer(named_parameters([ours]), config)
    matrices = [p for p in theirs.parameters() if p.ndim == 2]
    vectors = [p for p in theirs.parameters() if p.ndim == 1]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}],
        lr=3e-3,
        betas=(0.8, 0.9),
        foreach=False,
    )
    for step in range(4):
        factor = 1 - step / 4
        for group in reference.param_groups:
            group["lr"] = 3e-3 * factor
        for model in (ours, theirs):
            backward(model, step)
        optimizers.step(factor)
        reference.step()
        optimizers.zero_grad()
        reference.zero_grad()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (32, 32)])
def test_muon_is_torchs(shape: tuple[int, int]) -> None:
    """In bfloat16, as torch iterates."""
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = Muon([ours], 0.01, 0.9, 0.1, dtype=torch.bfloat16)
    reference = torch.optim.Muon(
        [theirs], lr=0.01, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        reference.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.01 * moved
    torch.testing.assert_close(
        mine.state[ours]["momentum_buffer"], reference.state[theirs]["momentum_buffer"]
    )


def test_a_stack_is_orthogonalized_matrix_by_matrix() -> None:
    stack = torch.randn(4, 24, 8, generator=torch.Generator().manual_seed(1))
    together = orthogonalize(stack, torch.float32)
    for one, matrix in zip(together, stack, strict=True):
        torch.testing.assert_close(one, orthogonalize(matrix, torch.float32))
        singular = torch.linalg.svdvals(one)
        assert singular.min() > 0.6
        assert singular.max() < 1.3


def test_update_is_as_large_as_adamws() -> None:
    for shape in [(64, 16), (16, 64), (3, 32, 32)]:
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        update = orthogonalize(gradient, torch.float32) * update_scale(gradient.shape)
        assert float(update.square().mean().sqrt()) == pytest.approx(0.2, rel=0.2)


def test_a_gradient_of_zero_moves_nothing() -> None:
    assert not orthogonalize(torch.zeros(4, 4), torch.float32).any()


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_state_is_what_torch_makes_of_it(name: str) -> None:
    model = decoder()
    optimizers = build_optimizer(named_parameters([model]), Optimizer(name=name))
    before = optimizers.state()
    backward(model, 1)
    optimizers.step()
    after = optimizers.state()
    assert list(before) == list(after)
    assert all(before[key] is after[key] for key in before)
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    theirs = get_optimizer_state_dict(model, optimizers.members, options=options)
    theirs = {k.removeprefix("state."): v for k, v in theirs.items() if k.startswith("state.")}
    assert theirs.keys() == after.keys()
    assert all(torch.equal(theirs[key], after[key]) for key in after)


@pytest.mark.parametrize("shape", ["debug", "debug-moe"])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_state_copied_into_another_goes_on_alike(name: str, shape: str) -> None:
    first, second = decoder(shape), decoder(shape)
    config = Optimizer(name=name, lr=1e-2)
    optimizers = [build_optimizer(named_parameters([m]), config) for m in (first, second)]
    for step in range(2):
        backward(first, step)
        optimizers[0].step()
        optimizers[0].zero_grad()
    for into, out_of in [
        (model_state([second]), model_state([first])),
        (optimizers[1].state(), optimizers[0].state()),
    ]:
        for key, value in into.items():
            value.copy_(out_of[key])
    for model, optimizer in zip((first, second), optimizers, strict=True):
        backward(model, 9)
        optimizer.step()
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_tied_weights_have_one_name_whatever_part_holds_them() -> None:
    model = decoder(tie_embeddings=True)
    names = [name for name, _ in named_parameters([model])]
    assert list(model_state([model])) == names
    assert "head.weight" not in names
    last = Decoder(model.config, layers=range(1, 2), with_embedding=False)
    held = [name for name, _ in named_parameters([last])]
    assert "embedding.weight" in held
    assert set(held) <= set(names)
    assert list(model_state([last])) == held


def test_nothing_to_train_is_no_error() -> None:
    optimizers = build_optimizer([], Optimizer(name="muon"))
    optimizers.step()
    optimizers.zero_grad()
    assert optimizers.state() == {}
