"""Log-probabilities of given tokens under a decoder, without holding the logits of a batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.cache import KeyValueCache
from model.cross_entropy import CHUNK_TOKENS, IGNORED
from model.decoder import Decoder


class Scores(NamedTuple):
    """Of each label."""

    logprobs: Tensor
    """float32 [B, T], in nats; 0 where there is no label."""
    greedy: Tensor
    """Whether no token was more probable, [B, T]; True where there is no label."""


@torch.no_grad()
def score(
    decoder: Decoder,
    tokens: Tensor,
    labels: Tensor,
    positions: Tensor | None = None,
    documents: Tensor | None = None,
    cache: KeyValueCache | None = None,
) -> Scores:
    """log p(labels [B, T]) after tokens [B, T]; labels of IGNORED are not looked at.

    Positions, documents and cache are those of `Decoder.forward`. Logits exist for 1,024 labels at
    a time. Raises ValueError for a part of a decoder that has no head.
    """
    if decoder.norm is None or decoder.head is None:
        raise ValueError("a part of a decoder without its head says nothing of tokens")
    hidden = decoder.hidden_states(tokens, positions, documents, cache)
    wanted = labels != IGNORED
    chosen = labels[wanted]
    logprobs = torch.zeros(labels.shape, dtype=torch.float32, device=labels.device)
    greedy = torch.ones_like(wanted)
    parts, firsts = [], []
    for h, y in zip(hidden[wanted].split(CHUNK_TOKENS), chosen.split(CHUNK_TOKENS), strict=True):
        logits = decoder.head(decoder.norm(h)[None], None)[0].float()
        parts.append(logits.log_softmax(dim=-1).gather(1, y[:, None])[:, 0])
        firsts.append(logits.argmax(dim=-1) == y)
    if parts:
        logprobs[wanted], greedy[wanted] = torch.cat(parts), torch.cat(firsts)
    return Scores(logprobs, greedy)
