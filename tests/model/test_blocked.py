"""Attention in blocks against torch's own with a dense mask, gradients included."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.attention import Visibility, attention
from model.kernels.blocked import BLOCK, blocks

LENGTH = 2 * BLOCK + 9


def packed(*rows: list[int]) -> Visibility:
    """Rows of documents of these lengths."""
    positions = torch.stack([torch.cat([torch.arange(n) for n in row]) for row in rows])
    numbers = torch.stack([torch.arange(len(r)).repeat_interleave(torch.tensor(r)) for r in rows])
    return Visibility(positions, positions, numbers, numbers, aligned=True)


def plain(length: int = LENGTH) -> Visibility:
    positions = torch.arange(length)[None]
    return Visibility(positions, positions, aligned=True)


def drawn(length: int, heads: int, kv_heads: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, length, n, 16, generator=generator).requires_grad_()
        for n in (heads, kv_heads, kv_heads)
    ]


def both(
    see: Visibility, length: int, window: int | None, heads: int = 4, kv_heads: int = 2
) -> None:
    inputs = drawn(length, heads, kv_heads)
    found, expected = (
        attention(*inputs, see, window=window, kernel=kernel) for kernel in ("blocked", "sdpa")
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad((found * weights).sum(), inputs)
    theirs = torch.autograd.grad((expected * weights).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [None, 1, 20, LENGTH + 5])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
def test_plain_rows(window: int | None, heads: int, kv_heads: int) -> None:
    both(plain(), LENGTH, window, heads, kv_heads)


@pytest.mark.parametrize("window", [None, 20])
def test_documents_of_each_row(window: int | None) -> None:
    both(packed([BLOCK, BLOCK, 9], [1, 100, LENGTH - 101]), LENGTH, window)


def test_documents_that_stand_for_all_rows() -> None:
    both(packed([30, LENGTH - 30]), LENGTH, None)


@settings(deadline=None, max_examples=25)
@given(
    cuts=st.sets(st.integers(1, LENGTH - 1), max_size=6), window=st.none() | st.integers(1, LENGTH)
)
def test_any_documents(cuts: set[int], window: int | None) -> None:
    edges = [0, *sorted(cuts), LENGTH]
    both(packed([b - a for a, b in pairwise(edges)]), LENGTH, window)


def test_blocks_leave_out_what_nobody_sees() -> None:
    rows = blocks(packed([BLOCK, BLOCK], [2 * BLOCK]), None)
    assert [(b.first, b.key, b.end) for b in rows[0]] == [(0, 0, BLOCK), (BLOCK, BLOCK, 2 * BLOCK)]
    assert [(b.first, b.key, b.end) for b in rows[1]] == [(0, 0, BLOCK), (BLOCK, 0, 2 * BLOCK)]
    # Only the triangle of a block that lies inside one document is masked.
    assert rows[1][1].hidden.shape == (BLOCK, 1, BLOCK)


def test_who_sees_whom_is_the_one_rule() -> None:
    see = packed([50, 60, LENGTH - 110])
    for window in (None, 33):
        dense = see.dense(window)[0, 0]
        found = torch.zeros_like(dense)
        for block in blocks(see, window)[0]:
            found[block.first : block.end, block.key : block.end] = True
            part = found[block.first : block.end, block.masked : block.end]
            part &= ~block.hidden[:, 0]
        assert torch.equal(found, dense)


def test_what_it_cannot_say_is_refused() -> None:
    q, k, v = drawn(LENGTH, 2, 2)
    positions = torch.arange(LENGTH)[None]
    with pytest.raises(ValueError, match="own keys"):
        attention(q, k, v, Visibility(positions, positions), kernel="blocked")
