"""NEFTune: how large, how random, and where it is not."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch

from model.config import ModelConfig
from model.decoder import Decoder
from training.sft.noise import EmbeddingNoise

ALPHA = 5.0


@pytest.fixture
def decoder() -> Decoder:
    made = Decoder(ModelConfig(vocab_size=32, dim=16, n_layers=1, n_heads=2, max_seq_len=32))
    made.initialize(1)
    return made


def embedded(decoder: Decoder, tokens: torch.Tensor) -> torch.Tensor:
    assert decoder.embedding is not None
    return decoder.embedding(tokens)


def test_noise_is_uniform_within_its_bound(decoder: Decoder) -> None:
    tokens = torch.arange(32).repeat(8, 1)
    clean = embedded(decoder, tokens)
    noise = EmbeddingNoise([decoder], ALPHA, 1, 0, 0)
    noise.before_forward(1)
    added = (embedded(decoder, tokens) - clean).detach()
    bound = ALPHA / math.sqrt(32 * 16)
    assert added.abs().max() <= bound + 1e-6
    assert added.abs().max() > 0.99 * bound
    # Of a uniform distribution: variance bound^2 / 3.
    assert added.var().item() == pytest.approx(bound**2 / 3, rel=0.05)
    assert added.mean().abs() < 0.03 * bound


def test_noise_follows_from_seed_step_and_place(decoder: Decoder) -> None:
    tokens = torch.arange(8)[None]
    noise = EmbeddingNoise([decoder], ALPHA, 1, 0, 0)

    def of_step(number: int) -> list[list[float]]:
        noise.before_forward(number)
        return [embedded(decoder, tokens).flatten().tolist() for _ in range(2)]

    first = of_step(3)
    assert first[0] != first[1]
    assert of_step(4)[0] != first[0]
    assert of_step(3) == first


def test_a_part_of_a_row_gets_the_noise_of_the_whole_row(decoder: Decoder) -> None:
    tokens = torch.arange(8)[None]
    clean = embedded(decoder, tokens)
    noise = EmbeddingNoise([decoder], ALPHA, 1, 0, 0, context_ranks=4)
    noise.before_forward(1)
    bound = ALPHA / math.sqrt(8 * 4 * 16)
    added = (embedded(decoder, tokens) - clean).abs().max()
    assert 0.9 * bound < added <= bound + 1e-6


def test_nothing_is_added_without_gradients(decoder: Decoder) -> None:
    tokens = torch.arange(8)[None]
    clean = embedded(decoder, tokens).detach()
    EmbeddingNoise([decoder], ALPHA, 1, 0, 0)
    with torch.no_grad():
        assert torch.equal(embedded(decoder, tokens), clean)
