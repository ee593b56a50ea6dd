from __future__ import annotations

from typing import Any

import pytest
import torch

from model.config import ModelConfig
from model.decoder import Decoder
from model.presets import preset


def decoder_of(name: str = "debug", **changes: Any) -> Decoder:
    decoder = Decoder(preset(name, 60, n_layers=4, **changes))
    decoder.initialize(1)
    return decoder


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(60, (2, 11), generator=generator)
    positions = torch.tensor([[*range(7), *range(4)]])
    documents = torch.tensor([[0] * 7 + [1] * 4])
    labels = torch.randint(60, (2, 11), generator=generator)
    labels[:, 6] = -100
    return tokens, positions, documents, labels


def stages(decoder: Decoder, cuts: list[range]) -> list[Decoder]:
    """The decoder cut up, each part initialized by itself."""
    parts = [
        Decoder(
            decoder.config,
            layers=cut,
            with_embedding=number == 0,
            with_head=number == len(cuts) - 1,
        )
        for number, cut in enumerate(cuts)
    ]
    for part in parts:
        part.initialize(1)
    return parts


@pytest.mark.parametrize("name", ["debug", "debug-moe"])
@pytest.mark.parametrize("cuts", [[range(2), range(2, 4)], [range(1), range(1, 3), range(3, 4)]])
def test_stages_in_a_row_equal_the_whole(name: str, cuts: list[range]) -> None:
    whole = decoder_of(name)
    parts = stages(whole, cuts)
    tokens, positions, documents, labels = batch()
    for module in (whole, *parts):
        for layer in module.moe_layers():
            layer.loss_scale.fill_(0.1)
    expected = whole(tokens, positions, documents, labels)
    hidden = tokens
    for part in parts[:-1]:
        hidden = part(hidden, positions, documents)
    found = parts[-1](hidden, positions, documents, labels)
    assert torch.equal(found, expected)
    expected[0].backward()
    found[0].backward()
    held = {name: p for part in parts for name, p in part.named_parameters()}
    assert held.keys() == dict(whole.named_parameters()).keys()
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(held[name].grad, parameter.grad, rtol=1e-6, atol=1e-7)


def test_labels_give_the_sums_of_their_logits() -> None:
    decoder = decoder_of()
    tokens, positions, documents, labels = batch()
    sums = decoder(tokens, positions, documents, labels)
    logits = decoder(tokens, positions, documents)
    assert logits.shape == (2, 11, 60)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="sum"
    )
    torch.testing.assert_close(sums[0], expected, rtol=1e-6, atol=1e-5)


def test_positions_default_to_counting_and_documents_to_one() -> None:
    decoder = decoder_of()
    tokens, *_ = batch()
    zeros = torch.zeros_like(tokens)
    explicit = decoder(tokens, torch.arange(11)[None], zeros)
    torch.testing.assert_close(decoder(tokens), explicit, rtol=1e-5, atol=1e-6)


def test_tied_embeddings_are_one_parameter() -> None:
    decoder = decoder_of(tie_embeddings=True)
    assert decoder.head is not None
    assert decoder.embedding is not None
    assert decoder.head.weight is decoder.embedding.weight
    assert "head.weight" not in dict(decoder.named_parameters())
    tokens, positions, documents, labels = batch()
    decoder(tokens, positions, documents, labels)[0].backward()
    untied = decoder_of()
    with torch.no_grad():
        for name, parameter in untied.named_parameters():
            source = "embedding.weight" if name == "head.weight" else name
            parameter.copy_(dict(decoder.named_parameters())[source])
    untied(tokens, positions, documents, labels)[0].backward()
    assert untied.head is not None
    assert untied.embedding is not None
    both = untied.embedding.weight.grad + untied.head.weight.grad
    torch.testing.assert_close(decoder.embedding.weight.grad, both, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["debug", "debug-moe"])
def test_a_later_token_leaves_no_trace(name: str) -> None:
    decoder = decoder_of(name)
    tokens, *_ = batch()
    changed = tokens.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 60
    before, after = decoder(tokens), decoder(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_a_model_can_be_told_one_token_from_the_next() -> None:
    """A few steps on one batch: everything that should learn is connected to the loss."""
    decoder = Decoder(ModelConfig(vocab_size=60, dim=32, n_layers=2, n_heads=4, n_kv_heads=2))
    decoder.initialize(1)
    tokens, positions, documents, labels = batch()
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    targets = int((labels != -100).sum())
    losses = []
    for _ in range(40):
        loss = decoder(tokens, positions, documents, labels)[0] / targets
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(torch.log(torch.tensor(60.0)).item(), abs=0.2)
    assert losses[-1] < 0.2
