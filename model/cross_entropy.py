"""Cross-entropy over a large vocabulary, as sums, without ever holding all logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

IGNORED = -100
"""A label that is no target."""

CHUNK_TOKENS = 1024

_CPU_CHUNK_TOKENS = 512
"""Most tokens at a time where gradients are made at once: more of them leave the caches."""


def loss_sums(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    chunk_tokens: int,
    *,
    z_gradient: bool = False,
) -> Tensor:
    """Sums over all targets of -log p(label) and of log(Z)^2, float32 [2].

    hidden [N, D], weight [V, D], labels [N] with IGNORED where there is no target. The square of
    the log-partition is PaLM's z-loss (arXiv 2204.02311, section 5) before its coefficient. Logits
    exist for `chunk_tokens` tokens at a time. The backward pass makes them anew; on a CPU in
    float32 the gradients are made with the logits instead, which saves a quarter of the products
    for one more matrix of the weight's size. There `z_gradient` says that the second sum will be
    differentiated; the gradient is right either way, and cheaper where that is known beforehand.
    """
    if _gradients_at_once(hidden, weight):
        size = min(chunk_tokens, _CPU_CHUNK_TOKENS)
        sums: Tensor = _LossSums.apply(hidden, weight, labels, size, z_gradient)
        return sums
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


def _gradients_at_once(hidden: Tensor, weight: Tensor) -> bool:
    """Whether `_LossSums` may be used: it writes in place, into plain tensors, in float32."""
    plain = type(hidden) is Tensor and type(weight) in (Tensor, nn.Parameter)
    return (
        plain
        and torch.is_grad_enabled()
        and hidden.device.type == "cpu"
        and hidden.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _softmax_rows(logits: Tensor) -> Tensor:
    """Turn logits [n, V] into probabilities in place; returns log Z [n].

    The largest logit less the logarithm of its probability, which is never below 1 / V, is as
    exact as a sum of exponentials, and needs no pass that writes.
    """
    largest = logits.amax(dim=-1)
    torch.softmax(logits, dim=-1, out=logits)
    return largest - logits.amax(dim=-1).log()


class _LossSums(torch.autograd.Function):
    """`loss_sums` with G = p - onehot(label) turned into gradients while it is there.

    With g the gradient of the first sum and z that of the second, rows of other tokens zero:
    d hidden = g (G W) + 2 z log Z (G W + W[label]), d weight = g G'H + 2 z (G + onehot)'(log Z H).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, size: int, z_gradient: bool
    ) -> Tensor:
        """-> sums [2]; keeps G W [N, D], log Z [N], G'H [V, D] and, if asked, z's product."""
        wants_hidden, wants_weight, *_ = ctx.needs_input_grad
        d_hidden = torch.empty_like(hidden) if wants_hidden else None
        d_weight = torch.zeros_like(weight) if wants_weight else None
        d_weight_z = torch.zeros_like(weight) if wants_weight and z_gradient else None
        log_z, chosen = (hidden.new_empty(len(labels)) for _ in range(2))
        target = labels != IGNORED
        picked = labels.clamp_min(0)
        for start in range(0, len(labels), size):
            rows = slice(start, start + size)
            h, mask, pick = hidden[rows], target[rows, None], picked[rows, None]
            p = functional.linear(h, weight)
            chosen[rows] = p.gather(1, pick)[:, 0]
            log_z[rows] = _softmax_rows(p)
            masked = h * mask
            if d_weight_z is not None:
                d_weight_z.addmm_(p.t(), masked * log_z[rows, None])
            p.scatter_add_(1, pick, p.new_full((), -1.0).expand(pick.shape))
            if d_hidden is not None:
                torch.mm(p, weight, out=d_hidden[rows])
            if d_weight is not None:
                d_weight.addmm_(p.t(), masked)
        ctx.size = size
        ctx.save_for_backward(hidden, weight, labels, log_z, d_hidden, d_weight, d_weight_z)
        zero = log_z.new_zeros(())
        cross_entropy = torch.where(target, log_z - chosen, zero).sum()
        return torch.stack((cross_entropy, torch.where(target, log_z.square(), zero).sum()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what forward made."""
        hidden, weight, labels, log_z, d_hidden, d_weight, d_weight_z = ctx.saved_tensors
        g, z = gradients[0].unbind()
        target = labels != IGNORED
        with_z = bool(z != 0)
        if d_hidden is not None:
            scaled = d_hidden * (target * g)[:, None]
            if with_z:
                both = d_hidden + weight[labels.clamp_min(0)]
                scaled.addcmul_(both, (target * (2 * z) * log_z)[:, None])
            d_hidden = scaled
        if d_weight is not None:
            if with_z and d_weight_z is None:
                d_weight_z = _z_product(hidden, weight, target, ctx.size)
            d_weight = d_weight * g
            if with_z:
                d_weight.add_(d_weight_z * (2 * z))
        return d_hidden, d_weight, None, None, None


def _z_product(hidden: Tensor, weight: Tensor, target: Tensor, size: int) -> Tensor:
    """p'(log Z H) over the targets, [V, D], with the probabilities made anew."""
    total = torch.zeros_like(weight)
    for h, mask in zip(hidden.split(size), target.split(size), strict=True):
        p = functional.linear(h, weight)
        log_z = _softmax_rows(p)
        total.addmm_(p.t(), h * (mask * log_z)[:, None])
    return total
