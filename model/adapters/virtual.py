"""Virtual tokens in front of every sequence, trained beside a frozen model.

Prompt tuning (Lester et al., arXiv 2104.08691) trains their embeddings, prefix tuning (Li and
Liang, arXiv 2101.00190) keys and values of every layer. They take the first positions; data and
callers know nothing of them: logits are those of the real tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from model.adapters.config import PromptTuning
from model.cache import KeyValueCache
from model.config import ModelConfig
from model.decoder import Decoder
from model.initial import generator_of
from model.self_attention import KeyValueExchange, SelfAttention
from model.virtual_tokens import VirtualTokens
from schemas.errors import UsageError


class PrefixKeyValues(KeyValueExchange):
    """Puts a layer's trained keys and values before those of the sequence. They are not rotated."""

    def __init__(self, count: int, config: ModelConfig) -> None:
        super().__init__()
        shape = (count, config.kv_heads, config.head_size)
        self.keys = nn.Parameter(torch.zeros(shape))
        self.values = nn.Parameter(torch.zeros(shape))

    def forward(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, K, d] twice -> [B, count + T, K, d] twice."""
        pairs = ((self.keys, keys), (self.values, values))
        before, after = (
            torch.cat((own.to(x.dtype).expand(len(x), *own.shape), x), dim=1) for own, x in pairs
        )
        return before, after


def add_virtual_tokens(decoder: Decoder, config: PromptTuning) -> None:
    """Freeze a decoder and give it virtual tokens of zeros. Raises UsageError for a model whose
    rotation follows the length."""
    shape = decoder.config
    if shape.position == "rope" and shape.rope.scaling == "dynamic":
        raise UsageError("prompt_tuning: not with model.rope.scaling dynamic")
    decoder.requires_grad_(False)
    embedded = config.kind == "prompt"
    decoder.virtual = VirtualTokens(config.tokens, shape.dim if embedded else None)
    if not embedded:
        for layer in _attentions(decoder):
            layer.exchange = PrefixKeyValues(config.tokens, shape)


def virtual_shapes(shape: ModelConfig, config: PromptTuning) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters that `add_virtual_tokens` adds."""
    if config.kind == "prompt":
        return {"virtual.embeddings": (config.tokens, shape.dim)}
    size = (config.tokens, shape.kv_heads, shape.head_size)
    return {
        f"layers.{layer}.attention.exchange.{kind}": size
        for layer in range(shape.n_layers)
        for kind in ("keys", "values")
    }


def first_tokens(
    config: PromptTuning, text: Sequence[int] | None, vocab_size: int, seed: int
) -> list[int]:
    """The tokens that virtual ones start as: those of the text, repeated or cut to their number,
    else drawn from the vocabulary. Raises UsageError for a text without tokens."""
    if text is None:
        generator = generator_of("virtual", seed)
        drawn: list[int] = torch.randint(vocab_size, (config.tokens,), generator=generator).tolist()
        return drawn
    if not len(text):
        raise UsageError("prompt_tuning.init: holds no tokens")
    return [int(text[place % len(text)]) for place in range(config.tokens)]


@torch.no_grad()
def start_as(decoder: Decoder, tokens: Sequence[int]) -> None:
    """Let a decoder's virtual tokens be these real ones, one for each: it then computes what it
    would with them in front. (For prefixes 2101.00190, section 7.4: activations of real words make
    the best start.)"""
    assert decoder.virtual is not None
    assert decoder.embedding is not None
    ids = torch.tensor([tokens], device=decoder.embedding.weight.device)
    if decoder.virtual.embeddings is not None:
        decoder.virtual.embeddings.copy_(decoder.embedding(ids)[0])
        return
    cache = KeyValueCache(decoder.config, 1, len(tokens), ids.device)
    with _without_virtual_tokens(decoder):
        decoder(ids, cache=cache)
    for layer, held in zip(_attentions(decoder), cache.layers, strict=True):
        assert isinstance(layer.exchange, PrefixKeyValues)
        assert held.keys is not None
        assert held.values is not None
        layer.exchange.keys.copy_(held.keys[0])
        layer.exchange.values.copy_(held.values[0])


@contextmanager
def _without_virtual_tokens(decoder: Decoder) -> Iterator[None]:
    virtual, layers = decoder.virtual, list(_attentions(decoder))
    exchanges = [layer.exchange for layer in layers]
    decoder.virtual = None
    for layer in layers:
        layer.exchange = KeyValueExchange()
    try:
        yield
    finally:
        decoder.virtual = virtual
        for layer, exchange in zip(layers, exchanges, strict=True):
            layer.exchange = exchange


def _attentions(decoder: Decoder) -> Iterator[SelfAttention]:
    return (module for module in decoder.modules() if isinstance(module, SelfAttention))
