from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.cache import KeyValueCache, LayerCache
from model.config import ModelConfig
from model.decoder import Decoder

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "window": {"sliding_window": 4},
    "window_from_layer_1": {"sliding_window": 4, "sliding_window_from": 1},
    "alibi": {"position": "alibi"},
    "mqa": {"n_kv_heads": 1},
    "qk_norm": {"qk_norm": True, "qkv_bias": True},
    "yarn": {"rope": {"scaling": "yarn", "factor": 2.0, "original_len": 16}},
    "moe": {"moe": {"n_experts": 4, "top_k": 2, "n_shared": 1}},
}


def decoder_of(**changes: Any) -> Decoder:
    keys = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "max_seq_len": 64, **changes}
    decoder = Decoder(ModelConfig(vocab_size=50, **keys))
    decoder.initialize(1)
    with torch.no_grad():
        # As drawn, logits are nearly flat and errors would be invisible.
        for parameter in decoder.parameters():
            parameter.mul_(8.0 if parameter.ndim > 1 else 1.0)
    return decoder


def tokens_of(batch: int, length: int) -> Tensor:
    return torch.randint(50, (batch, length), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("parts", [[12], [5, 7], [6, 1, 1, 1, 3]])
@torch.no_grad()
def test_decoding_by_parts_equals_one_forward_pass(name: str, parts: list[int]) -> None:
    decoder = decoder_of(**SHAPES[name])
    tokens = tokens_of(3, 12)
    cache = KeyValueCache(decoder.config, 3, 12, torch.device("cpu"))
    found = [decoder(part, cache=cache) for part in tokens.split(parts, dim=1)]
    expected = decoder(tokens)
    assert expected.std() > 0.5
    torch.testing.assert_close(torch.cat(found, dim=1), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_last_logits_alone() -> None:
    decoder, tokens = decoder_of(), tokens_of(2, 9)
    expected = decoder(tokens)[:, -1:]
    torch.testing.assert_close(decoder(tokens, last_only=True), expected, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_documents_are_told_apart_in_the_cache() -> None:
    """What came before of another document leaves no trace."""
    decoder, tokens = decoder_of(), tokens_of(1, 10)
    cache = KeyValueCache(decoder.config, 1, 10, torch.device("cpu"))
    decoder(tokens[:, :4], documents=torch.zeros(1, 4, dtype=torch.long), cache=cache)
    second = decoder(
        tokens[:, 4:], torch.arange(6)[None], torch.ones(1, 6, dtype=torch.long), cache=cache
    )
    torch.testing.assert_close(second, decoder(tokens[:, 4:]), rtol=1e-5, atol=1e-5)


def test_a_full_cache_refuses_more() -> None:
    layer = LayerCache(3)
    part = torch.zeros(1, 2, 1, 4)
    layer.append(part, part)
    with pytest.raises(ValueError, match="4 tokens in a cache of 3"):
        layer.append(part, part)
    cache = KeyValueCache(decoder_of().config, 1, 3, torch.device("cpu"))
    with pytest.raises(ValueError, match="4 tokens in a cache of 3"):
        cache.announce(torch.arange(4)[None], torch.zeros(1, 4, dtype=torch.long))


def test_a_layer_is_cached_in_its_own_type() -> None:
    layer = LayerCache(3)
    part = torch.ones(1, 2, 1, 4, dtype=torch.bfloat16)
    keys, values = layer.append(part, part)
    assert keys.dtype == values.dtype == torch.bfloat16
