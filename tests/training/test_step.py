"""The losses of sparse layers in a step: what padding and masked labels leave alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from tests.builders.layouts import LENGTH, configuration, shape
from training.optim import SpikeGuard, build_optimizer
from training.parallel.batch import Batch
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel
from training.step import Step

REAL = LENGTH - 6
MOE = {"n_experts": 4, "top_k": 2, "ffn_dim": 16}


def rows(width: int, masked: int = 0, *, told: bool = True) -> Batch:
    """Two rows of REAL tokens, padded to a width; so many of their first places are no targets.
    `told`: documents say what is padding."""
    tokens = torch.full((2, width), 3)
    tokens[:, :REAL] = torch.randint(37, (2, REAL), generator=torch.Generator().manual_seed(4))
    labels = torch.full_like(tokens, -100)
    labels[:, masked:REAL] = tokens.roll(-1, 1)[:, masked:REAL]
    positions = torch.arange(width).expand(2, -1)
    documents = torch.where(positions < REAL, 0, -1)
    return Batch(tokens, labels, positions, documents if told else None)


def after(batches: list[Batch], **losses: float) -> tuple[dict[str, Tensor], list[list[int]]]:
    """Gradients and loads that a step on them leaves."""
    model: ModelConfig = shape(moe={**MOE, "aux_coef": 0.0, "z_coef": 0.0, **losses})
    config = configuration({}, z_loss=0.0)
    unclipped = config.optimizer.model_copy(update={"clip_norm": None})
    config = config.model_copy(update={"optimizer": unclipped})
    built = ParallelModel.build(model, config, ParallelDims(), torch.device("cpu"))
    optimizer = build_optimizer(built.named_parameters(), config.optimizer)
    Step(config, built, optimizer, None, SpikeGuard(None, 10)).take(1, batches)
    gradients = {n: p.grad.clone() for n, p in built.named_parameters() if p.grad is not None}
    return gradients, [layer.load.tolist() for layer in built.moe_layers()]


def attached(batches: list[Batch], loss: str) -> dict[str, Tensor]:
    """The gradient of one of the losses alone, which its coefficient multiplies."""
    with_it, without = after(batches, **{loss: 1.0})[0], after(batches)[0]
    found = {name: with_it[name] - without[name] for name in without}
    assert found["layers.1.ffn.router.weight"].abs().max() > 1e-3
    return found


@pytest.mark.parametrize("loss", ["aux_coef", "z_coef"])
@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([rows(LENGTH)], id="padded"),
        pytest.param([rows(REAL, masked=7)], id="masked"),
        pytest.param([rows(LENGTH, masked=7)], id="padded-and-masked"),
        pytest.param([rows(REAL, masked=7, told=False)], id="without-documents"),
        pytest.param([rows(LENGTH), rows(REAL, masked=7)], id="accumulated"),
    ],
)
def test_losses_of_experts_are_means_over_tokens(batches: list[Batch], loss: str) -> None:
    expected = attached([rows(REAL)], loss)
    for name, gradient in attached(batches, loss).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_padding_loads_no_expert() -> None:
    _, loads = after([rows(REAL)])
    assert [sum(load) for load in loads] == [2 * 2 * REAL] * 2
    assert after([rows(LENGTH)])[1] == loads
    assert after([rows(LENGTH, told=False)])[1] != loads
