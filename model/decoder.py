"""The decoder. It knows nothing of devices, ranks or optimizers: plans in `training.parallel` do.

Modules keep their names wherever they run: a pipeline stage holds a part of the same tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from model.alibi import alibi_slopes
from model.cache import KeyValueCache, LayerCache
from model.config import ModelConfig
from model.cross_entropy import CHUNK_TOKENS, loss_sums
from model.feed_forward import SwiGLU
from model.initial import initial_weight
from model.moe import MoE
from model.norm import RMSNorm
from model.rope import rotation
from model.self_attention import SelfAttention, Surroundings
from model.virtual_tokens import VirtualTokens
from model.visibility import Visibility


class Block(nn.Module):
    """Attention and feed-forward network, each behind a norm and beside the residual."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = SelfAttention(config, layer)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        self.ffn = SwiGLU(config) if config.moe is None else MoE(config)
        self.sparse = config.moe is not None

    def forward(self, x: Tensor, around: Surroundings, cache: LayerCache | None = None) -> Tensor:
        """[B, T, dim] -> [B, T, dim]."""
        x = x + self.attention(self.attention_norm(x), around, cache)
        if not self.sparse:
            return x + self.ffn(self.ffn_norm(x))
        documents = around.see.query_documents
        return x + self.ffn(self.ffn_norm(x), None if documents is None else documents >= 0)


class Head(nn.Module):
    """From the last hidden state to logits, or to sums of the loss."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.vocab_size, config.dim))
        self.chunk_tokens = CHUNK_TOKENS
        self.z_gradient = False
        """Whether the second sum will be differentiated: knowing it saves work, see `loss_sums`."""

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        """hidden [B, T, dim] -> logits [B, T, V]; with labels [B, T] -> sums [2], see
        `loss_sums`."""
        if labels is None:
            return nn.functional.linear(hidden, self.weight)
        return loss_sums(
            hidden.flatten(0, 1),
            self.weight,
            labels.flatten(),
            self.chunk_tokens,
            z_gradient=self.z_gradient,
        )


class Decoder(nn.Module):
    """A Llama-family decoder, or consecutive layers of one.

    `layers`, `with_embedding` and `with_head` cut out a pipeline stage: without the embedding it
    takes hidden states in place of tokens, without the head it returns them.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        layers: range | None = None,
        with_embedding: bool = True,
        with_head: bool = True,
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim) if with_embedding else None
        held = range(config.n_layers) if layers is None else layers
        self.layers = nn.ModuleDict({str(layer): Block(config, layer) for layer in held})
        self.norm = RMSNorm(config.dim, config.norm_eps) if with_head else None
        self.head = Head(config) if with_head else None
        if config.tie_embeddings and self.embedding is not None and self.head is not None:
            self.head.weight = cast(nn.Parameter, self.embedding.weight)
        self.attention_kernel = "auto"
        self.gather_keys: Callable[[Tensor], Tensor] | None = None
        """Positions or documents [B or 1, T] of this part of a sequence -> those of the keys that
        the layers' `KeyValueExchange` returns. Set by context parallelism."""
        self.virtual: VirtualTokens | None = None
        """Trained tokens in front of every sequence, see `model.adapters.virtual`."""

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        labels: Tensor | None = None,
        cache: KeyValueCache | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """tokens [B, T] (hidden states [B, T, dim] without the embedding) -> logits [B, T, V].

        `positions` [B or 1, T] default to 0, 1, ...; `documents` [B or 1, T] tell which tokens may
        see each other, by default all; padding has a number below 0. With `labels` [B, T] the
        result is sums [2], see `loss_sums`; without the head it is hidden states [B, T, dim].
        `last_only`: logits [B, 1, V] of the last token.
        """
        hidden = self.hidden_states(tokens, positions, documents, cache)
        if self.norm is None or self.head is None:
            return hidden
        if last_only:
            hidden = hidden[:, -1:]
        return self.head(self.norm(hidden), labels)

    def hidden_states(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """What the last layer gives, [B, T, dim], before norm and head; arguments of `forward`."""
        hidden = tokens if self.embedding is None else self.embedding(tokens)
        length = hidden.shape[1]
        if self.virtual is not None:
            hidden, positions, documents = self.virtual.precede(hidden, positions, documents, cache)
        around = self.surroundings(hidden, positions, documents, cache)
        for name, block in self.layers.items():
            hidden = block(hidden, around, None if cache is None else cache.layers[int(name)])
        return hidden if self.virtual is None else hidden[:, -length:]

    def surroundings(
        self,
        tokens: Tensor,
        positions: Tensor | None,
        documents: Tensor | None,
        cache: KeyValueCache | None,
    ) -> Surroundings:
        """What all layers share of this batch."""
        length = tokens.shape[1]
        if positions is None:
            if self.gather_keys is not None:
                raise ValueError("positions: a part of a sequence cannot count its own")
            past = 0 if cache is None else cache.length
            positions = torch.arange(past, past + length, device=tokens.device)[None]
        if self.gather_keys is not None:
            keys = self.gather_keys(positions)
            key_documents = None if documents is None else self.gather_keys(documents)
            see = Visibility(positions, keys, documents, key_documents)
        elif cache is None:
            see = Visibility(positions, positions, documents, documents, aligned=True)
        else:
            batch = tokens.shape[0]
            own = torch.zeros_like(positions) if documents is None else documents
            own = own.expand(batch, -1)
            keys, key_documents = cache.announce(positions.expand(batch, -1), own)
            see = Visibility(positions, keys, own, key_documents)
        if self.virtual is not None:
            see = self.virtual.seen(see)
        config, device = self.config, tokens.device
        if config.position == "alibi":
            slopes = alibi_slopes(config.n_heads, device)
            return Surroundings(see, None, slopes, self.attention_kernel)
        among = None if self.gather_keys is None else see.key_positions
        turn = rotation(config, positions, among)
        return Surroundings(see, turn, None, self.attention_kernel)

    def initialize(self, seed: int) -> None:
        """Draw all weights, see `initial_weight`."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(initial_weight(self.config, name, parameter.shape, seed))
        for layer in self.moe_layers():
            layer.reset_buffers()

    def moe_layers(self) -> Iterator[MoE]:
        """The sparse layers held here, in order: their loads, losses' factor and bias."""
        return (module for module in self.modules() if isinstance(module, MoE))

    @property
    def longest(self) -> int:
        """Tokens that a sequence may have: max_seq_len, less the virtual ones."""
        return self.config.max_seq_len - (0 if self.virtual is None else self.virtual.count)

    @property
    def active_parameters(self) -> int:
        """Parameters held here that a token passes through: all but the experts not chosen."""
        idle = 0
        for layer in self.moe_layers():
            moe = layer.moe
            every = sum(weight.numel() for weight in layer.experts.parameters())
            idle += every // moe.n_experts * (moe.n_experts - moe.top_k)
        return sum(weight.numel() for weight in self.parameters()) - idle
