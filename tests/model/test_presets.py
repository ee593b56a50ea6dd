"""Sizes of the published models that presets are named for."""

from __future__ import annotations

import pytest
import torch

from model.decoder import Decoder
from model.presets import PRESETS, preset
from schemas.errors import UsageError


def on_meta(name: str, vocab_size: int) -> Decoder:
    with torch.device("meta"):
        return Decoder(preset(name, vocab_size))


@pytest.mark.parametrize(
    ("name", "vocab_size", "parameters"),
    [
        ("llama3-8b", 128_256, 8_030_261_248),  # Meta-Llama-3-8B's safetensors
        ("1b", 128_256, 1_235_814_400),  # Llama-3.2-1B's
        ("qwen-like", 151_936, 596_049_920),  # Qwen3-0.6B's
        ("mixtral-like", 32_000, 46_702_792_704),  # Mixtral-8x7B-v0.1's
    ],
)
def test_sizes_of_published_models(name: str, vocab_size: int, parameters: int) -> None:
    assert sum(p.numel() for p in on_meta(name, vocab_size).parameters()) == parameters


def test_a_token_meets_13_of_mixtrals_47_billions() -> None:
    """arXiv 2401.04088, section 1: 13 B active parameters."""
    assert on_meta("mixtral-like", 32_000).active_parameters == 12_879_925_248


@pytest.mark.parametrize(
    ("name", "vocab_size", "millions"),
    [("tiny", 257, 0.8), ("10m", 8192, 10.4), ("124m", 50_257, 123.6)],
)
def test_sizes_that_names_promise(name: str, vocab_size: int, millions: float) -> None:
    count = sum(p.numel() for p in on_meta(name, vocab_size).parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_shape(name: str) -> None:
    config = preset(name, 1000)
    assert config.vocab_size == 1000
    assert on_meta(name, 1000).config == config


def test_keys_can_be_changed() -> None:
    assert preset("debug", 10, n_layers=7).n_layers == 7


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.preset: '11m' is none of debug"):
        preset("11m", 10)
