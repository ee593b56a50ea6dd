"""The z-loss in a process of its own: gradients are those of all logits at once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from model.decoder import Decoder
from model.presets import preset
from training.parallel.batch import Batch
from training.parallel.execution import Alone


@pytest.mark.parametrize("z_loss", [0.0, 0.05])
def test_gradients_with_and_without_a_z_loss(z_loss: float) -> None:
    config = preset("debug", 97)
    tokens = torch.randint(97, (2, 24), generator=torch.Generator().manual_seed(1))
    labels = torch.where(tokens % 5 == 0, -100, tokens.roll(-1, 1))
    positions = torch.arange(24).expand(2, -1)
    batch = Batch(tokens, labels, positions, torch.zeros_like(tokens))
    denominator = (labels != -100).sum()
    models = [Decoder(config) for _ in range(2)]
    for model in models:
        model.initialize(3)
    alone = Alone(models[0], torch.float32, torch.device("cpu"))
    sums = alone.forward_backward([batch, batch], 2 * denominator, z_loss)

    logits = models[1](tokens).flatten(0, 1)
    kept = labels.flatten() != -100
    cross_entropy = functional.cross_entropy(logits, labels.flatten())
    squares = logits.logsumexp(-1).square()[kept].mean()
    (cross_entropy + z_loss * squares).backward()
    expected = torch.stack((cross_entropy, squares)) * 2 * denominator
    torch.testing.assert_close(sums, expected.detach(), rtol=1e-5, atol=1e-5)
    for (name, ours), theirs in zip(
        models[0].named_parameters(), models[1].parameters(), strict=True
    ):
        assert ours.grad is not None, name
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
