"""Optimizers and average on parameters that are cut over ranks, held to one process."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from tests.builders.gloo import Ranks
from tests.builders.layouts import STEPS, Z_LOSS, batch, configuration, parts, shape
from training.config import Optimizer
from training.optim import WeightAverage, build_optimizer, named_parameters
from training.optim.muon import Muon
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel

LAYOUTS: dict[str, dict[str, int]] = {
    "fsdp": {"dp_shard": 4},
    "hsdp": {"dp_replicate": 2, "dp_shard": 2},
    "ddp": {"dp_replicate": 4},
    "fsdp and tp": {"dp_shard": 2, "tp": 2},
}


def train(parallel: dict[str, int], name: str) -> dict[str, Tensor]:
    """Whole weights after some steps, and sums of the loss by the averages; from rank 0."""
    model, config = shape(), configuration(parallel)
    world = distributed.get_world_size() if distributed.is_initialized() else 1
    dims = ParallelDims.of(config.parallel, world)
    built = ParallelModel.build(model, config, dims, torch.device("cpu"))
    optimizer = build_optimizer(
        named_parameters(built.parts), Optimizer(name=name, lr=1e-2, eps=1e-4)
    )
    average = WeightAverage(built.parts, 0.5)
    for step in range(STEPS):
        whole = batch(step, model.vocab_size)
        own = list(parts(whole, dims.data_ranks))[built.data_rank]
        built.forward_backward([own], (whole.labels != -100).sum(), Z_LOSS)
        optimizer.step(1 - step / STEPS)
        optimizer.zero_grad()
        average.update()
    # FSDP keeps the root gathered after this: the swap has to be seen all the same.
    before = built.reduce_sums(built.evaluate(own))
    with average.swapped():
        averaged = built.reduce_sums(built.evaluate(own))
    after = built.reduce_sums(built.evaluate(own))
    weights = {n: built.full_parameter(n).clone() for n, _ in built.named_parameters()}
    sums = {"before": before, "averaged": averaged, "after": after}
    return {**weights, **sums} if not (world > 1 and distributed.get_rank()) else {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "name"),
    [("fsdp and tp", "adamw"), *((layout, "muon") for layout in LAYOUTS)],
)
def test_as_one_process(ranks: Ranks, layout: str, name: str) -> None:
    expected = train({}, name)
    found = ranks.run(train, LAYOUTS[layout], name)[0]
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=2e-5, rtol=1e-5, msg=key)
    assert torch.equal(found["before"], found["after"])
    assert not torch.allclose(found["before"], found["averaged"], rtol=1e-3)


STACKS: dict[str, list[Any]] = {
    "experts over both": [Shard(0), Shard(0)],
    "experts over one": [Replicate(), Shard(0)],
    "experts and rows": [Shard(1), Shard(0)],
    "columns": [Shard(2), Shard(2)],
    "one expert a rank and an empty one": [Shard(0), Shard(0)],
}


def muon_step(placements: list[Any] | None, experts: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    weight, gradient = (torch.randn(experts, 8, 12, generator=generator) for _ in range(2))
    if placements is not None:
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("fsdp", "ep"))
        weight, gradient = (distribute_tensor(t, mesh, placements) for t in (weight, gradient))
    parameter = nn.Parameter(weight)
    parameter.grad = gradient
    Muon([parameter], 0.1, weight_decay=0.1).step()
    whole = parameter.detach()
    return whole if placements is None else whole.full_tensor()  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("cut", STACKS)
def test_stacks_of_experts(ranks: Ranks, cut: str) -> None:
    experts = 3 if "empty" in cut else 6
    expected = muon_step(None, experts)
    for found in ranks.run(muon_step, STACKS[cut], experts):
        torch.testing.assert_close(found, expected)
