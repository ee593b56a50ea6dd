from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from model.cross_entropy import loss_sums
from tests.builders.gloo import Ranks
from training.parallel.vocabulary import VocabularyEmbedding, VocabularyHead

VOCABULARY, DIM = 13, 6
"""Four ranks hold 4, 4, 4 and 1 rows."""


def given() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 5, DIM, generator=random)
    # Large logits: exponentials overflow unless the maximum is taken out first.
    weight = 40 * torch.randn(VOCABULARY, DIM, generator=random)
    labels = torch.randint(VOCABULARY, (2, 5), generator=random)
    labels[0, 2] = labels[1, 4] = -100
    return hidden, weight, labels


def cut(weight: Tensor) -> tuple[nn.Parameter, object]:
    mesh = init_device_mesh("cpu", (4,))
    return nn.Parameter(distribute_tensor(weight, mesh, [Shard(0)])), mesh


def head() -> tuple[Tensor, ...]:
    hidden, weight, labels = given()
    parameter, mesh = cut(weight)
    module = VocabularyHead(parameter, mesh, chunk_tokens=4)
    hidden.requires_grad_()
    sums = module(hidden, labels)
    (sums[0] + 1e-4 * sums[1]).backward()
    assert isinstance(parameter.grad, DTensor)
    assert hidden.grad is not None
    with torch.no_grad():
        unrecorded = module(hidden, labels)
        logits = module(hidden, None)
    return sums.detach(), unrecorded, hidden.grad, parameter.grad.full_tensor(), logits


def embedding() -> tuple[Tensor, Tensor]:
    _, weight, labels = given()
    parameter, mesh = cut(weight)
    found = VocabularyEmbedding(parameter, mesh)(labels.clamp_min(0))
    found.square().sum().backward()
    assert isinstance(parameter.grad, DTensor)
    return found.detach(), parameter.grad.full_tensor()


def test_head_equals_the_whole_one(ranks: Ranks) -> None:
    hidden, weight, labels = given()
    hidden.requires_grad_()
    weight.requires_grad_()
    sums = loss_sums(hidden.flatten(0, 1), weight, labels.flatten(), 100)
    (sums[0] + 1e-4 * sums[1]).backward()
    logits = nn.functional.linear(hidden, weight)
    expected = (sums, sums, hidden.grad, weight.grad, logits)
    for found in ranks.run(head):
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-3)


def test_embedding_equals_the_whole_one(ranks: Ranks) -> None:
    _, weight, labels = given()
    weight.requires_grad_()
    expected = nn.functional.embedding(labels.clamp_min(0), weight)
    expected.square().sum().backward()
    for found, gradient in ranks.run(embedding):
        assert torch.equal(found, expected.detach())
        torch.testing.assert_close(gradient, weight.grad)
