"""One rule of visibility, whichever kernel computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.alibi import alibi_slopes
from model.attention import KERNELS, Visibility, attention, best_kernel
from model.kernels.varlen import cuts

LENGTH = 40


class Case(NamedTuple):
    heads: int = 4
    kv_heads: int = 4
    documents: tuple[tuple[int, ...], ...] | None = None
    """Lengths of the documents in each row."""
    window: int | None = None
    alibi: bool = False


CASES = {
    "plain": Case(),
    "grouped": Case(kv_heads=2),
    "one key head": Case(kv_heads=1),
    "documents": Case(documents=((7, 20, 13), (40,))),
    "documents of all rows": Case(documents=((3, 37),)),
    "window": Case(window=6),
    "window of one": Case(window=1),
    "alibi": Case(alibi=True, heads=6, kv_heads=3),
    "all at once": Case(6, 2, ((1, 19, 20), (30, 10)), 5, True),
}


def rows(documents: tuple[tuple[int, ...], ...] | None) -> tuple[Tensor, Tensor | None]:
    """Positions and document numbers of packed rows."""
    if documents is None:
        return torch.arange(LENGTH)[None], None
    positions = [torch.cat([torch.arange(n) for n in row]) for row in documents]
    numbers = [torch.repeat_interleave(torch.arange(len(r)), torch.tensor(r)) for r in documents]
    return torch.stack(positions), torch.stack(numbers)


def drawn(case: Case, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, LENGTH, n, 16) for n in (case.heads, case.kv_heads, case.kv_heads)]
    q, k, v = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    return q, k, v


def by_hand(q: Tensor, k: Tensor, v: Tensor, see: Visibility, case: Case) -> Tensor:
    """The definition, one query at a time, over the keys that it sees."""
    out = torch.zeros_like(q)
    slopes = alibi_slopes(case.heads)
    for b in range(q.shape[0]):
        rows = [x[b if x.shape[0] > 1 else 0] for x in (see.query_positions, see.key_positions)]
        documents = [
            None if x is None else x[b if x.shape[0] > 1 else 0]
            for x in (see.query_documents, see.key_documents)
        ]
        for i in range(q.shape[1]):
            distance = rows[0][i] - rows[1]
            seen = (distance >= 0) & (distance < (case.window or 10**9))
            if documents[0] is not None and documents[1] is not None:
                seen &= documents[0][i] == documents[1]
            if not seen.any():
                continue
            for h in range(case.heads):
                group = h * case.kv_heads // case.heads
                scores = k[b, seen, group] @ q[b, i, h] / q.shape[-1] ** 0.5
                if case.alibi:
                    scores = scores - slopes[h] * distance[seen]
                out[b, i, h] = scores.softmax(0) @ v[b, seen, group]
    return out


@pytest.mark.parametrize("kernel", ["sdpa", "flex"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kernels_equal_the_definition(case: Case, kernel: str) -> None:
    positions, documents = rows(case.documents)
    q, k, v = drawn(case)
    slopes = alibi_slopes(case.heads) if case.alibi else None
    see = Visibility(positions, positions, documents, documents, aligned=True)
    with torch.no_grad():
        found = attention(q, k, v, see, window=case.window, slopes=slopes, kernel=kernel)
        # Once more, from what was derived for the first layer.
        again = attention(q, k, v, see, window=case.window, slopes=slopes, kernel=kernel)
    torch.testing.assert_close(found, by_hand(q, k, v, see, case), atol=1e-6, rtol=1e-5)
    assert torch.equal(found, again)


@pytest.mark.parametrize("kernel", ["sdpa", "flex"])
@pytest.mark.parametrize("alibi", [False, True])
def test_queries_apart_from_their_keys(kernel: str, alibi: bool) -> None:
    """As under context parallelism: keys of all ranks, in another order, and no own ones first."""
    case = Case(6, 2, ((13, 27), (40,)), 9, alibi)
    positions, documents = rows(case.documents)
    assert documents is not None
    q, k, v = drawn(case)
    order = torch.randperm(LENGTH, generator=torch.Generator().manual_seed(5))
    own = torch.tensor([30, 31, 4, 5, 39])
    q, k, v = q[:, own], k[:, order], v[:, order]
    see = Visibility(positions[:, own], positions[:, order], documents[:, own], documents[:, order])
    slopes = alibi_slopes(6) if alibi else None
    with torch.no_grad():
        found = attention(q, k, v, see, window=9, slopes=slopes, kernel=kernel)
    torch.testing.assert_close(found, by_hand(q, k, v, see, case), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kernel", ["sdpa", "flex"])
@pytest.mark.parametrize("alibi", [False, True])
def test_a_query_that_sees_no_key_gets_zeros_and_no_nan(kernel: str, alibi: bool) -> None:
    q, k, v = drawn(Case())
    positions = torch.arange(LENGTH)[None]
    see = Visibility(positions, positions + 3)
    slopes = alibi_slopes(4) if alibi else None
    q.requires_grad_(kernel == "sdpa")
    k.requires_grad_(kernel == "sdpa")
    out = attention(q, k, v, see, slopes=slopes, kernel=kernel)
    assert torch.equal(out[:, :3], torch.zeros_like(out[:, :3]))
    assert out.isfinite().all()
    if kernel == "sdpa":
        out.square().sum().backward()
        for x in (q, k):
            assert x.grad is not None
            assert x.grad.isfinite().all()


def test_no_mask_is_made_where_order_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Visibility, window: int | None) -> Tensor:
        raise AssertionError("a mask was made")

    monkeypatch.setattr(Visibility, "dense", refused)
    q, k, v = drawn(Case())
    positions = torch.arange(LENGTH)[None]
    see = Visibility(positions, positions, aligned=True)
    attention(q, k, v, see)
    attention(q, k, v, see, window=LENGTH)
    with pytest.raises(AssertionError, match="a mask was made"):
        attention(q, k, v, see, window=LENGTH - 1)


def test_cuts_follow_documents_and_rows() -> None:
    documents = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 7]])
    starts, longest = cuts(documents, 2, 5)
    assert starts.tolist() == [0, 2, 5, 9, 10]
    assert starts.dtype == torch.int32
    assert longest == 4
    assert cuts(documents[:1], 2, 5).starts.tolist() == [0, 2, 5, 7, 10]
    assert cuts(None, 3, 4).starts.tolist() == [0, 4, 8, 12]


@given(st.lists(st.lists(st.integers(1, 5), min_size=1), min_size=1, max_size=4))
def test_cuts_are_the_lengths_that_were_packed(packed: list[list[int]]) -> None:
    longest = max(map(sum, packed))
    filled = [row if sum(row) == longest else [*row, longest - sum(row)] for row in packed]
    numbers = [torch.repeat_interleave(torch.arange(len(r)), torch.tensor(r)) for r in filled]
    found = cuts(torch.stack(numbers), len(filled), longest)
    lengths = [length for row in filled for length in row]
    assert found.starts.diff().tolist() == lengths
    assert found.longest == max(lengths)


def stand_in(calls: list[dict[str, object]]) -> Callable[..., Tensor]:
    """`varlen_attn` as torch documents it: sequences cut at cu_seq, a window of keys to the left
    and right of the query, grouped heads."""

    def varlen_attn(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor,
        max_q: int,
        max_k: int,
        *,
        window_size: tuple[int, int] = (-1, -1),
        enable_gqa: bool = False,
    ) -> Tensor:
        calls.append({"window_size": window_size, "same": cu_seq_q is cu_seq_k, "max": max_q})
        assert enable_gqa or q.shape[1] == k.shape[1]
        repeats = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        bounds = cu_seq_q.tolist()
        out = torch.zeros_like(q)
        left, right = window_size
        for start, end in zip(bounds, bounds[1:], strict=False):
            assert end - start <= max_q == max_k
            offset = torch.arange(end - start)[None] - torch.arange(end - start)[:, None]
            seen = torch.ones_like(offset, dtype=torch.bool)
            if left >= 0:
                seen &= offset >= -left
            if right >= 0:
                seen &= offset <= right
            part = slice(start, end)
            scores = torch.einsum("ihd,jhd->hij", q[part], k[part]) / q.shape[-1] ** 0.5
            weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
            out[part] = torch.einsum("hij,jhd->ihd", weights, v[part])
        return out

    return varlen_attn


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if not case.alibi])
def test_the_call_of_varlen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.nn.attention.varlen as torch_varlen

    case, calls = CASES[name], []  # type: ignore[var-annotated]
    monkeypatch.setattr(torch_varlen, "varlen_attn", stand_in(calls))
    positions, documents = rows(case.documents)
    q, k, v = drawn(case)
    see = Visibility(positions, positions, documents, documents, aligned=True)
    found = attention(q, k, v, see, window=case.window, kernel="varlen")
    torch.testing.assert_close(found, by_hand(q, k, v, see, case), atol=1e-6, rtol=1e-5)
    # Torch takes cuDNN's kernel for causal attention only if both are one tensor.
    assert calls[0]["same"]


def test_the_signature_of_varlen_is_the_one_that_is_called() -> None:
    import inspect

    from torch.nn.attention.varlen import varlen_attn

    parameters = list(inspect.signature(varlen_attn).parameters)
    assert parameters[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]
    assert {"window_size", "enable_gqa"} <= set(parameters)


def test_varlen_refuses_what_it_cannot_say() -> None:
    q, k, v = drawn(Case())
    positions = torch.arange(LENGTH)[None]
    with pytest.raises(ValueError, match="aligned"):
        attention(q, k, v, Visibility(positions, positions), kernel="varlen")
    with pytest.raises(ValueError, match="ALiBi"):
        see = Visibility(positions, positions, aligned=True)
        attention(q, k, v, see, slopes=alibi_slopes(4), kernel="varlen")


class OnCuda(NamedTuple):
    """What `best_kernel` looks at, of queries that no test can make."""

    dtype: torch.dtype = torch.bfloat16
    shape: tuple[int, ...] = (2, 256, 8, 64)
    device: torch.device = torch.device("cuda")


HALF = OnCuda()


def test_the_best_kernel() -> None:
    positions = torch.arange(256)[None]
    documents = torch.zeros(1, 256, dtype=torch.long)
    slopes = alibi_slopes(8)
    plain = Visibility(positions, positions, aligned=True)
    packed = Visibility(positions, positions, documents, documents, aligned=True)
    apart = Visibility(positions, positions.flip(1), documents, documents)

    def best(
        see: Visibility, q: OnCuda = HALF, window: int | None = None, bias: bool = False
    ) -> str:
        name = best_kernel(q, see, window, slopes if bias else None)  # type: ignore[arg-type]
        assert name in KERNELS
        return name

    assert best(plain) == best(plain, window=256) == "sdpa"
    assert best(packed) == best(plain, window=100) == "varlen"
    assert best(packed, OnCuda(torch.float32)) == "flex"
    assert best(packed, OnCuda(shape=(2, 256, 8, 20))) == "flex"
    assert best(apart) == best(plain, bias=True) == "flex"
    assert best(apart, OnCuda(shape=(2, 1, 8, 64))) == "sdpa"
    assert best(apart, OnCuda(shape=(2, 256, 8, 8))) == "sdpa"
    for see in (plain, packed, apart):
        assert best(see, OnCuda(device=torch.device("cpu")), bias=True) == "sdpa"
