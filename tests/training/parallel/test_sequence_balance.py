"""The balance loss of sequences that ranks hold parts of."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed import group

from model.balance import sequence_balance
from tests.builders.gloo import Ranks

TOP_K = 2


def given() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    probabilities = torch.randn(3, 8, 5, generator=random).mul(2).softmax(dim=-1)
    chosen = torch.zeros_like(probabilities, dtype=torch.bool)
    chosen.scatter_(2, probabilities.topk(TOP_K, dim=-1).indices, True)
    real = torch.ones(3, 8, dtype=torch.bool)
    real[1, 6:] = False
    return probabilities, chosen, real


def part() -> tuple[float, Tensor]:
    rank = torch.distributed.get_rank()
    probabilities, chosen, real = (x[:, rank * 4 : rank * 4 + 4] for x in given())
    probabilities = probabilities.clone().requires_grad_()
    loss = sequence_balance(probabilities, chosen, real, TOP_K, group.WORLD)
    (gradient,) = torch.autograd.grad(loss, probabilities)
    return loss.item(), gradient


def test_parts_add_up_to_the_whole(ranks: Ranks) -> None:
    probabilities, chosen, real = given()
    probabilities.requires_grad_()
    loss = sequence_balance(probabilities, chosen, real, TOP_K, None)
    (gradient,) = torch.autograd.grad(loss, probabilities)
    found = ranks.run(part, world=2)
    torch.testing.assert_close(sum(value for value, _ in found), loss.item(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.cat([g for _, g in found], dim=1), gradient)
    alone = sequence_balance(probabilities[:, :4], chosen[:, :4], real[:, :4], TOP_K, None)
    assert abs(alone.item() - found[0][0]) > 1e-3
