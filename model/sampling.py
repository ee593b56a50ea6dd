"""From logits to the next token: temperature, top-k, nucleus, and draws that a seed decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from schemas.errors import InputError, UsageError


class Sampling(NamedTuple):
    """How tokens are chosen. The cuts are made in this order, as transformers makes them."""

    temperature: float = 1.0
    """Logits are divided by it; 0: the most probable token, always."""
    top_k: int | None = None
    """So many of the most probable tokens are left (Fan et al., arXiv 1805.04833, section 5.4)."""
    top_p: float | None = None
    """Then the fewest tokens whose probabilities reach this sum (nucleus: Holtzman et al., arXiv
    1904.09751, section 3.1)."""

    def check(self) -> None:
        """Raises UsageError for values that mean nothing."""
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature: {self.temperature} is not a number from 0 on")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k: {self.top_k} is not a whole number from 1 on")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p: {self.top_p} is not above 0 and at most 1")

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """The distribution that is drawn from: logits [B, V] -> float32 [B, V], -inf where a token
        is cut off, summing to one over the rest. For temperature 0 that of temperature 1, since
        the chosen token's own would say nothing."""
        if self.temperature == 0:
            return logits.float().log_softmax(dim=-1)
        log_p = (logits.float() / self.temperature).log_softmax(dim=-1)
        if self.top_k is None and self.top_p is None:
            return log_p
        # Stable, so that of equal tokens those with lower numbers stay.
        ordered, tokens = log_p.sort(dim=-1, descending=True, stable=True)
        if self.top_k is not None:
            ordered[:, self.top_k :] = -torch.inf
        if self.top_p is not None:
            p = ordered.softmax(dim=-1)
            ordered = ordered.masked_fill(p.cumsum(dim=-1) - p >= self.top_p, -torch.inf)
        return torch.empty_like(log_p).scatter_(1, tokens, ordered.log_softmax(dim=-1))

    def choose(
        self, logits: Tensor, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Next tokens [B] of logits [B, V] and their log-probabilities float32 [B], with a
        generator on the CPU for each row. Raises InputError where a row holds NaN."""
        log_p = self.log_probabilities(logits)
        if bool(log_p.isnan().any()):
            raise InputError(
                "the model gives NaN for probabilities: its weights hold NaN, or are too large for "
                "the type that it computes in, or the temperature is too near to 0"
            )
        tokens = logits.argmax(dim=-1) if self.temperature == 0 else draw(log_p, generators)
        return tokens, log_p.gather(1, tokens[:, None])[:, 0]


def draw(log_probabilities: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """A token for each row of [B, V], by inverting its distribution function at one number from
    the row's own generator: what else is in the batch, and the device, have no say."""
    uniform = torch.cat([torch.rand(1, dtype=torch.float64, generator=g) for g in generators])
    sums = log_probabilities.double().exp().cumsum(dim=-1)
    # A little below 1 times the last sum lies below it: tokens of no probability are never met.
    thresholds = uniform.to(sums.device)[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, thresholds, right=True)[:, 0]
