"""ALiBi: the slopes, and a model that uses them."""

from __future__ import annotations

import pytest
import torch

from model.alibi import alibi_slopes
from model.config import ModelConfig
from model.decoder import Decoder


def test_the_slopes_of_the_paper() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    assert alibi_slopes(1).tolist() == [2.0**-8]


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 8, 12, 20, 40, 64, 71])
def test_slopes_equal_those_of_bloom(heads: int) -> None:
    pytest.importorskip("transformers")
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    # The bias of position 1 is the slope itself.
    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32)[:, 0, 1]
    torch.testing.assert_close(alibi_slopes(heads), theirs)


def model(**changes: object) -> Decoder:
    keys = {
        "vocab_size": 32,
        "dim": 48,
        "n_layers": 2,
        "n_heads": 6,
        "n_kv_heads": 2,
        "ffn_dim": 64,
    }
    decoder = Decoder(ModelConfig.model_validate({**keys, "position": "alibi", **changes}))
    decoder.initialize(3)
    return decoder.eval()


def test_alibi_is_the_paper_s_formula() -> None:
    from model.attention import Visibility, attention

    generator = torch.Generator().manual_seed(1)
    q, k, v = torch.randn(3, 1, 5, 6, 8, generator=generator)
    positions = torch.arange(5)[None]
    see = Visibility(positions, positions, aligned=True)
    found = attention(q, k, v, see, slopes=alibi_slopes(6))
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / 8**0.5
    for h, slope in enumerate(alibi_slopes(6).tolist()):
        for i in range(5):
            for j in range(5):
                scores[0, h, i, j] += -slope * (i - j) if j <= i else float("-inf")
    expected = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v)
    torch.testing.assert_close(found, expected)


def test_order_matters_and_the_place_does_not() -> None:
    decoder = model()
    tokens = torch.tensor([[3, 4, 5, 6, 7]])
    with torch.no_grad():
        here = decoder(tokens)
        there = decoder(tokens, positions=torch.arange(1000, 1005)[None])
        swapped = decoder(torch.tensor([[4, 3, 5, 6, 7]]))
    torch.testing.assert_close(here, there)
    assert (here[0, -1] - swapped[0, -1]).abs().max() > 1e-6


def test_far_distances_are_exact_in_bfloat16() -> None:
    """Biases stay float32: distances above 256 are no bfloat16 numbers."""
    from model.attention import Visibility, attention

    positions = torch.arange(600)[None]
    see = Visibility(positions[:, -1:], positions)
    q = torch.zeros(1, 1, 1, 16, dtype=torch.bfloat16)
    k = torch.zeros(1, 600, 1, 16, dtype=torch.bfloat16)
    v = torch.zeros(1, 600, 1, 16, dtype=torch.bfloat16)
    v[0, :, 0, 0] = torch.arange(600) % 2
    slopes = torch.tensor([0.01])
    found = attention(q, k, v, see, slopes=slopes)[0, 0, 0, 0].float()
    weights = (-0.01 * (599 - positions[0])).softmax(0)
    assert found.item() == pytest.approx((weights * (positions[0] % 2)).sum().item(), abs=4e-3)
