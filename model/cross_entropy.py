"""Cross-entropy over a large vocabulary, as sums, without ever holding all logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

IGNORED = -100
"""A label that is no target."""

CHUNK_TOKENS = 1024


def loss_sums(hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int) -> Tensor:
    """Sums over all targets of -log p(label) and of log(Z)^2, float32 [2].

    hidden [N, D], weight [V, D], labels [N] with IGNORED where there is no target. The square of
    the log-partition is PaLM's z-loss (arXiv 2204.02311, section 5) before its coefficient. Logits
    exist for `chunk_tokens` tokens at a time; the backward pass makes them anew.
    """
    total = hidden.new_zeros(2, dtype=torch.float32)
    for h, y in zip(hidden.split(chunk_tokens), labels.split(chunk_tokens), strict=True):
        if torch.is_grad_enabled():
            part = checkpoint(_chunk_sums, h, weight, y, use_reentrant=False)
        else:
            part = _chunk_sums(h, weight, y)
        total = total + part
    return total


def _chunk_sums(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    logits = functional.linear(hidden, weight).float()
    log_z = logits.logsumexp(dim=-1)
    target = labels != IGNORED
    chosen = logits.gather(1, labels.clamp_min(0)[:, None])[:, 0]
    zero = log_z.new_zeros(())
    cross_entropy = torch.where(target, log_z - chosen, zero).sum()
    return torch.stack((cross_entropy, torch.where(target, log_z.square(), zero).sum()))
