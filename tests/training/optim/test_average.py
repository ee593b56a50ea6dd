from __future__ import annotations

import pytest
import torch
from torch import nn

from training.optim import WeightAverage


def step(model: nn.Linear, value: float) -> None:
    with torch.no_grad():
        model.weight.fill_(value)


def test_follows_the_weights_by_the_formula() -> None:
    model = nn.Linear(2, 2, bias=False)
    step(model, 5.0)
    average = WeightAverage([model], 0.3)
    expected = 5.0
    for n, value in enumerate([1.0, 2.0, 4.0, 8.0], start=1):
        step(model, value)
        average.update()
        decay = min(0.3, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    assert torch.allclose(average.state()["weight"], torch.full((2, 2), expected))
    assert int(average.state()["updates"]) == 4


def test_swapping_gives_both_back() -> None:
    model = nn.Linear(3, 3)
    average = WeightAverage([model], 0.9)
    step(model, 1.25)
    average.update()
    kept, state = model.weight.clone(), average.state()["weight"].clone()
    with pytest.raises(RuntimeError, match="inside"), average.swapped():
        assert torch.equal(model.weight, state)
        raise RuntimeError("inside")
    assert torch.equal(model.weight, kept)
    assert torch.equal(average.state()["weight"], state)


def test_frozen_parameters_have_no_average() -> None:
    model = nn.Linear(3, 3)
    model.bias.requires_grad_(False)
    assert list(WeightAverage([model], 0.9).state()) == ["weight", "updates"]
