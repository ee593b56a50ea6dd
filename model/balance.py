"""Losses that spread tokens over experts, and how they enter the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup, all_reduce


def sequence_balance(
    probabilities: Tensor, chosen: Tensor, real: Tensor, top_k: int, group: ProcessGroup | None
) -> Tensor:
    """Sum over sequences of (tokens) * sum_e f_e P_e, a scalar; equal loads give 1 a token.

    probabilities [B, T, E] float32 sum to one over experts; chosen [B, T, E] tells which experts
    a token goes to; real [B, T] which tokens count. f_e is E / top_k times the share of tokens of
    a sequence that go to e, without gradient, and P_e the mean probability of e (DeepSeek-V3,
    arXiv 2412.19437, equations 17 to 20, times the tokens of the sequence). Since tokens * P_e is
    a sum over tokens, a rank that holds a part of each sequence needs only f_e of the whole:
    `group` are the ranks that hold the other parts.
    """
    counts = (chosen & real[..., None]).sum(dim=1).float()
    tokens = real.sum(dim=1).float()
    if group is not None:
        totals = torch.cat((counts, tokens[:, None]), dim=1)
        all_reduce(totals, group=group)
        counts, tokens = totals[:, :-1], totals[:, -1]
    n_experts = probabilities.shape[-1]
    f = counts * n_experts / (top_k * tokens.clamp_min(1.0))[:, None]
    return torch.einsum("be,bte,bt->", f, probabilities, real.to(probabilities.dtype))


def router_z(logits: Tensor, real: Tensor) -> Tensor:
    """Sum over tokens of logsumexp(logits)^2, a scalar (ST-MoE, arXiv 2202.08906, equation 5,
    times the number of tokens). logits [B, T, E] float32, real [B, T]."""
    return (logits.logsumexp(dim=-1).square() * real).sum()


class _Attach(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, loss: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (scale,) = ctx.saved_tensors
        return gradients[0], scale, None


def attach_loss(x: Tensor, loss: Tensor, scale: Tensor) -> Tensor:
    """x unchanged; going back through it adds the gradient of scale * loss (both scalars).

    Layers need not hand their losses up, and pipeline stages need not send them on. Megatron-LM's
    MoEAuxLossAutoScaler (megatron/core/transformer/moe/moe_utils.py) does the same.
    """
    attached: Tensor = _Attach.apply(x, loss, scale)
    return attached
