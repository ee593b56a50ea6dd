from __future__ import annotations

import pytest
import torch

from model.experts import KERNELS, Experts, best_kernel

COUNTS = [[3, 0, 5, 2], [0, 0, 0, 10], [10, 0, 0, 0], [1, 4, 4, 1]]


def experts(dim: int = 16, hidden_dim: int = 24, dtype: torch.dtype = torch.float32) -> Experts:
    torch.manual_seed(1)
    module = Experts(4, dim, hidden_dim)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.to(dtype)


def run(module: Experts, tokens: torch.Tensor, counts: list[int]) -> list[torch.Tensor]:
    """The output, and gradients of a sum of it that weighs each number differently."""
    tokens = tokens.clone().requires_grad_()
    out = module(tokens, torch.tensor(counts))
    loss = (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum()
    gradients = torch.autograd.grad(loss, [tokens, *module.parameters()])
    return [out.detach(), *gradients]


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grouped_products_equal_the_loop(counts: list[int], dtype: torch.dtype) -> None:
    module = experts(dtype=dtype)
    tokens = torch.randn(10, 16, generator=torch.Generator().manual_seed(2)).to(dtype)
    assert best_kernel(tokens, module.gate_proj) == "grouped"
    module.kernel = "loop"
    expected = run(module, tokens, counts)
    module.kernel = "grouped"
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    for got, want in zip(run(module, tokens, counts), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("counts", COUNTS)
def test_every_token_goes_through_its_expert(counts: list[int]) -> None:
    module = experts()
    tokens = torch.randn(10, 16, generator=torch.Generator().manual_seed(2))
    out = module(tokens, torch.tensor(counts))
    owners = [expert for expert, count in enumerate(counts) for _ in range(count)]
    for token, expert, row in zip(tokens, owners, out, strict=True):
        gate, up = module.gate_proj[expert] @ token, module.up_proj[expert] @ token
        expected = module.down_proj[expert] @ (gate * gate.sigmoid() * up)
        torch.testing.assert_close(row, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dim", "hidden_dim"), [(5, 7), (16, 7), (5, 24)])
def test_sizes_that_the_grouped_product_refuses_take_the_loop(dim: int, hidden_dim: int) -> None:
    module = experts(dim, hidden_dim)
    tokens = torch.randn(10, dim)
    assert best_kernel(tokens, module.gate_proj) == "loop"
    with pytest.raises(RuntimeError, match="16 bytes"):
        out = KERNELS["grouped"](tokens, module.gate_proj, torch.tensor([3, 0, 5, 2]))
        out.square().sum().backward()
    assert all(gradient.isfinite().all() for gradient in run(module, tokens, [3, 0, 5, 2]))


def test_no_tokens_at_all_give_zero_gradients() -> None:
    """A rank of expert parallelism may get none; its gradients take part in sums all the same."""
    module = experts()
    out, *gradients = run(module, torch.empty(0, 16), [0, 0, 0, 0])
    assert out.shape == (0, 16)
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients)


def test_autocast_reaches_the_experts() -> None:
    module, tokens = experts(), torch.randn(10, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(tokens, torch.tensor([3, 0, 5, 2]))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(
        out.float(), module(tokens, torch.tensor([3, 0, 5, 2])), rtol=0.1, atol=0.1
    )
