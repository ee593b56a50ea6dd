from __future__ import annotations

import pytest
import torch

from model.decoder import Decoder
from model.initial import initial_weight
from model.presets import preset


def weights(decoder: Decoder, seed: int = 1) -> dict[str, torch.Tensor]:
    decoder.initialize(seed)
    return {name: p.detach().clone() for name, p in decoder.named_parameters()}


def test_the_seed_and_the_name_decide() -> None:
    config = preset("debug", 100)
    first, again, other = (weights(Decoder(config), seed) for seed in (1, 1, 2))
    torch.manual_seed(0)
    for name in first:
        assert torch.equal(first[name], again[name])
        assert torch.equal(first[name], other[name]) == name.endswith("norm.weight")
    same_shape = [first[f"layers.{n}.attention.q_proj.weight"] for n in range(2)]
    assert not torch.equal(*same_shape)


def test_global_randomness_is_neither_used_nor_changed() -> None:
    decoder = Decoder(preset("debug-moe", 100))
    state = torch.get_rng_state()
    weights(decoder)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("tied", [False, True])
def test_a_stage_starts_as_its_part_of_the_whole(tied: bool) -> None:
    config = preset("debug", 100, n_layers=4, tie_embeddings=tied)
    whole = weights(Decoder(config))
    first = weights(Decoder(config, layers=range(2), with_head=False))
    last = weights(Decoder(config, layers=range(2, 4), with_embedding=False))
    for name, weight in {**first, **last}.items():
        source = "embedding.weight" if tied and name == "head.weight" else name
        assert torch.equal(weight, whole[source])


@pytest.mark.parametrize(
    ("name", "shape", "std"),
    [
        ("embedding.weight", (500, 64), 0.02),
        ("head.weight", (500, 64), 0.02),
        ("layers.0.attention.q_proj.weight", (200, 200), 0.02),
        ("layers.0.attention.o_proj.weight", (200, 200), 0.02 / 8**0.5),
        ("layers.0.ffn.gate_proj.weight", (200, 200), 0.02),
        ("layers.0.ffn.down_proj.weight", (200, 200), 0.02 / 8**0.5),
        ("layers.0.ffn.router.weight", (40, 500), 0.02),
        ("layers.0.ffn.experts.gate_proj", (4, 100, 100), 0.02),
        ("layers.0.ffn.experts.up_proj", (4, 100, 100), 0.02),
        ("layers.0.ffn.experts.down_proj", (4, 100, 100), 0.02 / 8**0.5),
        ("layers.0.ffn.shared.down_proj.weight", (200, 200), 0.02 / 8**0.5),
    ],
)
def test_spread_follows_the_part(name: str, shape: tuple[int, ...], std: float) -> None:
    config = preset("debug-moe", 100, n_layers=4)
    weight = initial_weight(config, name, torch.Size(shape), 1)
    assert weight.dtype == torch.float32
    assert weight.std().item() == pytest.approx(std, rel=0.03)
    assert weight.mean().item() == pytest.approx(0, abs=4 * std / weight.numel() ** 0.5)


def test_norms_are_one_and_biases_zero() -> None:
    config = preset("debug", 100, qk_norm=True, qkv_bias=True, out_bias=True, mlp_bias=True)
    for name, weight in weights(Decoder(config)).items():
        if name.endswith("norm.weight"):
            assert torch.equal(weight, torch.ones_like(weight))
        if name.endswith("bias"):
            assert torch.equal(weight, torch.zeros_like(weight))


def test_every_parameter_gets_a_value() -> None:
    decoder = Decoder(preset("debug-moe", 100, moe={"n_experts": 4, "top_k": 2, "n_shared": 1}))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.fill_(torch.nan)
    assert all(weight.isfinite().all() for weight in weights(decoder).values())
