"""Sums of the loss and their gradients, against torch's own cross-entropy of all logits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from model.cross_entropy import loss_sums

N, D, V = 37, 16, 53


def inputs(dtype: torch.dtype = torch.float32, scale: float = 3.0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    hidden = (torch.randn(N, D, generator=generator) * scale).to(dtype).requires_grad_()
    weight = torch.randn(V, D, generator=generator).to(dtype).requires_grad_()
    labels = torch.randint(V, (N,), generator=generator)
    labels[::5] = -100
    return hidden, weight, labels


def reference(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    logits = functional.linear(hidden, weight)
    cross_entropy = functional.cross_entropy(logits, labels, reduction="sum")
    z = logits.logsumexp(-1).square()[labels != -100].sum()
    return torch.stack((cross_entropy, z))


def gradients(sums: Tensor, factors: tuple[float, float], *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(sums @ torch.tensor(factors, dtype=sums.dtype), of)


@pytest.mark.parametrize("chunk", [1, 7, 37, 1000])
@pytest.mark.parametrize("z_gradient", [False, True])
@pytest.mark.parametrize("factors", [(1.0, 0.0), (0.3, 1e-2), (0.0, 1.0), (-2.0, 0.5)])
def test_sums_and_gradients_are_those_of_all_logits(
    chunk: int, z_gradient: bool, factors: tuple[float, float]
) -> None:
    hidden, weight, labels = inputs()
    exact = [x.detach().double().requires_grad_() for x in (hidden, weight)]
    expected = reference(*exact, labels)
    found = loss_sums(hidden, weight, labels, chunk, z_gradient=z_gradient)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-4)
    ours = gradients(found, factors, hidden, weight)
    theirs = gradients(expected, factors, *exact)
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() <= 2e-6 * other.abs().max()


@settings(deadline=None)
@given(
    labels=st.lists(st.integers(-1, V - 1), min_size=1, max_size=20),
    scale=st.floats(0.01, 30),
    chunk=st.integers(1, 25),
)
def test_any_labels_and_any_confidence(labels: list[int], scale: float, chunk: int) -> None:
    generator = torch.Generator().manual_seed(len(labels))
    hidden = (torch.randn(len(labels), D, generator=generator) * scale).requires_grad_()
    weight = torch.randn(V, D, generator=generator).requires_grad_()
    target = torch.tensor([-100 if label < 0 else label for label in labels])
    found, expected = loss_sums(hidden, weight, target, chunk), reference(hidden, weight, target)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    ours = gradients(found, (1.0, 1e-4), hidden, weight)
    theirs = gradients(expected, (1.0, 1e-4), hidden, weight)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_gradients_are_exact_in_float64_too() -> None:
    """The path of other devices and types: chunks whose logits are made anew."""
    hidden, weight, labels = inputs(torch.float64)
    with torch.no_grad():
        quiet = loss_sums(hidden, weight, labels, 8)
    loud = loss_sums(hidden, weight, labels, 8)
    torch.testing.assert_close(loud, quiet)
    ours = gradients(loud, (1.0, 0.1), hidden, weight)
    theirs = gradients(reference(hidden, weight, labels), (1.0, 0.1), hidden, weight)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_both_paths_agree_in_bfloat16_and_float32() -> None:
    hidden, weight, labels = inputs()
    low = loss_sums(hidden.bfloat16(), weight.bfloat16(), labels, 8)
    torch.testing.assert_close(low, loss_sums(hidden, weight, labels, 8), rtol=0.03, atol=0.1)


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_side_gets_no_gradient_and_changes_nothing(frozen: int) -> None:
    both = inputs()
    loss_sums(*both, 8)[0].backward()
    some = inputs()
    some[frozen].requires_grad_(False)
    loss_sums(*some, 8)[0].backward()
    assert some[frozen].grad is None
    torch.testing.assert_close(some[1 - frozen].grad, both[1 - frozen].grad)


def test_backward_twice_gives_twice_the_gradient() -> None:
    hidden, weight, labels = inputs()
    sums = loss_sums(hidden, weight, labels, 8)
    once = gradients_of_two(sums, hidden, weight, retain=True)
    again = gradients_of_two(sums, hidden, weight, retain=False)
    for one, other in zip(once, again, strict=True):
        assert torch.equal(one, other)


def gradients_of_two(
    sums: Tensor, hidden: Tensor, weight: Tensor, retain: bool
) -> tuple[Tensor, ...]:
    return torch.autograd.grad(sums.sum(), (hidden, weight), retain_graph=retain)


def test_without_a_target_all_is_zero() -> None:
    hidden, weight, labels = inputs()
    sums = loss_sums(hidden, weight, torch.full_like(labels, -100), 8)
    assert sums.tolist() == [0, 0]
    for gradient in gradients(sums, (1.0, 1.0), hidden, weight):
        assert not gradient.any()


def test_a_tied_weight_gathers_both_gradients() -> None:
    _, weight, labels = inputs()
    tokens = labels.clamp_min(0)
    ours = torch.autograd.grad(
        loss_sums(functional.embedding(tokens, weight), weight, labels, 8)[0], weight
    )[0]
    theirs = torch.autograd.grad(
        reference(functional.embedding(tokens, weight), weight, labels)[0], weight
    )[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_logits_of_ignored_tokens_do_not_spoil_gradients(dtype: torch.dtype) -> None:
    hidden, weight, labels = inputs(dtype)
    with torch.no_grad():
        hidden[5] = 1e20
    sums = loss_sums(hidden, weight, labels, 8)
    assert sums[0].isfinite()
    assert all(g.isfinite().all() for g in gradients(sums, (1.0, 0.0), hidden, weight))


class _Largest(TorchDispatchMode):
    """The most numbers of any tensor that is made in here."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_more_logits_than_those_of_a_chunk_are_held(dtype: torch.dtype) -> None:
    hidden, weight, labels = inputs(dtype)
    with _Largest() as seen:
        loss_sums(hidden, weight, labels, 8).sum().backward()
    assert seen.numbers == max(8 * V, V * D)
