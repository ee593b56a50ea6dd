"""The norm of gradients that are cut in several ways, against torch's of the whole ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Placement, Replicate, Shard, distribute_tensor

from tests.builders.gloo import Ranks
from training.parallel.gradients import clip, local, total_norm

SIZES = ((7, 6), (5,), (4, 8), (3, 2))


def whole() -> list[nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(size)) for size in SIZES]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=random)
    return [*parameters, nn.Parameter(torch.zeros(3))]


def spread() -> list[nn.Parameter]:
    """One plain, one over a line of ranks, two over a grid; the last has no gradient."""
    line = init_device_mesh("cpu", (4,))
    grid = init_device_mesh("cpu", (2, 2))
    layouts: list[tuple[Placement, ...] | None] = [
        (Shard(0),),
        None,
        (Replicate(), Shard(1)),
        (Shard(0), Shard(1)),
        None,
    ]
    spread = []
    for parameter, placements in zip(whole(), layouts, strict=True):
        gradient = parameter.grad
        if placements is not None:
            mesh = line if len(placements) == 1 else grid
            assert gradient is not None
            gradient = distribute_tensor(gradient, mesh, placements, src_data_rank=None)
            parameter = nn.Parameter(distribute_tensor(parameter.detach(), mesh, placements))
        parameter.grad = gradient
        spread.append(parameter)
    return spread


def clipped_norms(max_norm: float) -> tuple[float, float]:
    parameters = spread()
    return clip(parameters, max_norm), total_norm(parameters)


def norm_with_nan_on(rank: int) -> tuple[float, bool]:
    parameters = spread()
    before = [local(p.grad).clone() for p in parameters if p.grad is not None]
    if torch.distributed.get_rank() == rank:
        assert parameters[0].grad is not None
        local(parameters[0].grad)[0] = math.nan
    norm = clip(parameters, 1.0)
    after = [local(p.grad) for p in parameters if p.grad is not None]
    return norm, all(torch.equal(a, b) for a, b in zip(before[1:], after[1:], strict=True))


def test_every_number_counts_once(ranks: Ranks) -> None:
    parameters = whole()
    expected = float(nn.utils.clip_grad_norm_(parameters, 2.0))
    for before, after in ranks.run(clipped_norms, 2.0):
        assert before == pytest.approx(expected, rel=1e-6)
        assert after == pytest.approx(2.0, rel=1e-5)
    assert ranks.run(clipped_norms, 1e9)[3][1] == pytest.approx(expected, rel=1e-6)


def test_what_is_no_number_is_told_to_all_and_spreads_no_further(ranks: Ranks) -> None:
    for norm, untouched in ranks.run(norm_with_nan_on, 2):
        assert math.isnan(norm)
        assert untouched


def test_plain_gradients() -> None:
    ours, theirs = whole(), whole()
    expected = float(nn.utils.clip_grad_norm_(theirs, 0.5))
    assert clip(ours, 0.5) == pytest.approx(expected, rel=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert clip([], 1.0) == 0.0
    assert clip(whole(), None) == pytest.approx(expected, rel=1e-6)
