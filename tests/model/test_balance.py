from __future__ import annotations

import math

import torch

from model.balance import attach_loss, router_z, sequence_balance


def test_a_small_case_by_hand() -> None:
    """Two experts, one chosen: tokens go to 0, 0, 1; f = (4/3, 2/3), P = (0.6, 0.4)."""
    p = torch.tensor([[[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]]])
    chosen = torch.tensor([[[1, 0], [1, 0], [0, 1]]], dtype=torch.bool)
    real = torch.ones(1, 3, dtype=torch.bool)
    loss = sequence_balance(p, chosen, real, 1, None)
    assert math.isclose(loss.item(), 3 * (4 / 3 * 0.6 + 2 / 3 * 0.4), rel_tol=1e-6)


def test_equal_loads_give_one_a_token() -> None:
    tokens, n_experts, top_k = 12, 6, 2
    p = torch.full((2, tokens, n_experts), 1 / n_experts)
    chosen = torch.zeros(2, tokens, n_experts, dtype=torch.bool)
    for token in range(tokens):
        chosen[:, token, [token % n_experts, (token + 1) % n_experts]] = True
    loss = sequence_balance(p, chosen, torch.ones(2, tokens, dtype=torch.bool), top_k, None)
    assert math.isclose(loss.item(), 2 * tokens, rel_tol=1e-6)


def test_the_gradient_goes_through_probabilities_alone() -> None:
    """d/dp of tokens * sum f P is f, the same for each token of a sequence."""
    p = torch.tensor([[[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]]], requires_grad=True)
    chosen = torch.tensor([[[1, 0], [1, 0], [0, 1]]], dtype=torch.bool)
    sequence_balance(p, chosen, torch.ones(1, 3, dtype=torch.bool), 1, None).backward()
    expected = torch.tensor([4 / 3, 2 / 3]).expand(1, 3, 2)
    torch.testing.assert_close(p.grad, expected)


def test_tokens_that_are_not_real_count_for_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    p = torch.rand(2, 5, 4, generator=generator).softmax(-1)
    chosen = p == p.amax(-1, keepdim=True)
    real = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]], dtype=torch.bool)
    whole = sequence_balance(p, chosen, real, 1, None)
    every = torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(whole, sequence_balance(p[:, :3], chosen[:, :3], every, 1, None))
    logits = torch.randn(2, 5, 4, generator=generator)
    torch.testing.assert_close(router_z(logits, real), router_z(logits[:, :3], every))
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    assert sequence_balance(p, chosen, nothing, 1, None).item() == 0.0


def test_router_z_by_hand() -> None:
    logits = torch.tensor([[[0.0, 0.0], [math.log(3.0), 0.0]]])
    real = torch.ones(1, 2, dtype=torch.bool)
    expected = math.log(2) ** 2 + math.log(4) ** 2
    assert math.isclose(router_z(logits, real).item(), expected, rel_tol=1e-6)


def test_an_attached_loss_changes_the_gradient_and_not_the_value() -> None:
    w = torch.tensor([2.0, -1.0], requires_grad=True)
    x = w * 3
    y = attach_loss(x, (w**2).sum(), torch.tensor(0.5))
    assert torch.equal(y, x)
    (y * torch.tensor([1.0, 10.0])).sum().backward()
    assert w.grad is not None
    torch.testing.assert_close(w.grad, torch.tensor([3.0 + 2.0, 30.0 - 1.0]))


def test_an_attached_loss_with_factor_zero_adds_nothing() -> None:
    w = torch.tensor([2.0, -1.0], requires_grad=True)
    attach_loss(w * 3, (w**2).sum(), torch.zeros(())).sum().backward()
    assert w.grad is not None
    assert torch.equal(w.grad, torch.full((2,), 3.0))
