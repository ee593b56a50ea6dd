"""Sparse mixture of experts: route, dispatch, compute, combine."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional

from model.balance import attach_loss, router_z, sequence_balance
from model.config import ModelConfig, MoEConfig
from model.experts import Experts
from model.feed_forward import SwiGLU


class Routing(NamedTuple):
    """Where N tokens go."""

    experts: Tensor
    """[N, k], the numbers of the experts."""
    weights: Tensor
    """[N, k] float32, of their outputs."""
    logits: Tensor
    """[N, E] float32."""
    probabilities: Tensor
    """[N, E] float32: the scores of all experts, with sum one."""


class Router(nn.Module):
    """A score a token and expert."""

    def __init__(self, dim: int, moe: MoEConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(moe.n_experts, dim))
        self.moe = moe

    def forward(self, x: Tensor, choice_bias: Tensor | None) -> Routing:
        """x [N, dim] -> routing, in float32 whatever x is (Switch Transformer, arXiv 2101.03961,
        section 2.4). `choice_bias` [E] has a say in the choice alone."""
        with torch.autocast(x.device.type, enabled=False):
            logits = functional.linear(x.float(), self.weight.float())
        if self.moe.score == "sigmoid":
            scores = logits.sigmoid()
            probabilities = scores / scores.sum(dim=-1, keepdim=True)
        else:
            scores = probabilities = logits.softmax(dim=-1)
        preference = scores if choice_bias is None else scores + choice_bias
        experts = preference.detach().topk(self.moe.top_k, dim=-1).indices
        weights = scores.gather(1, experts)
        if self.moe.normalize_top_k:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return Routing(experts, weights, logits, probabilities)


class ExpertExchange(nn.Module):
    """The way of tokens to the experts and back: here all experts of the layer are at hand.

    Expert parallelism puts a module in its place that sends tokens to the ranks that hold their
    experts, has them computed there and brings the results back into the same order.
    """

    def forward(self, tokens: Tensor, counts: Tensor, experts: Experts) -> Tensor:
        """tokens [N', dim] sorted by expert, counts [E] over all experts of the layer -> [N', dim],
        row by row what each token's expert makes of it. `experts` is called once, with the tokens
        of the experts that it holds, sorted, and their counts."""
        return experts(tokens, counts)


class MoE(nn.Module):
    """top_k of n_experts SwiGLU networks for each token, beside some that see every token.

    Mixtral (arXiv 2401.04088, section 2.1); with shared experts DeepSeekMoE (arXiv 2401.06066,
    section 3.2), where the shared ones are one network of n_shared times the width.

    While gradients are recorded in training mode, the balance and router z-losses are attached to
    the output (`attach_loss`) with the factor `loss_scale`, and `load` counts. A layer under
    activation checkpointing counts each token twice, all alike: the bias moves by the sign of a
    difference of loads, and reports give shares, so neither changes.
    """

    choice_bias: Tensor | None
    load: Tensor
    loss_scale: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.moe is not None
        moe = self.moe = config.moe
        self.router = Router(config.dim, moe)
        self.experts = Experts(moe.n_experts, config.dim, config.expert_dim)
        self.shared = SwiGLU(config, moe.n_shared * config.expert_dim) if moe.n_shared else None
        self.exchange = ExpertExchange()
        self.sequence_group: ProcessGroup | None = None
        """The ranks among which context parallelism splits each sequence."""
        bias = torch.zeros(moe.n_experts) if moe.balance == "bias" else None
        self.register_buffer("choice_bias", bias)
        self.register_buffer("load", torch.zeros(moe.n_experts, dtype=torch.long), persistent=False)
        self.register_buffer("loss_scale", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """[B, T, dim] -> [B, T, dim]. Tokens where `real` [B or 1, T] is false, padding, are
        computed like others and not counted in losses and loads."""
        flat = x.flatten(0, 1)
        routing = self.router(flat, self.choice_bias)
        chosen = torch.zeros_like(routing.logits, dtype=torch.bool)
        chosen.scatter_(1, routing.experts, True)
        y = self._through_experts(flat, routing, chosen.sum(dim=0))
        if self.shared is not None:
            y = y + self.shared(flat)
        y = y.view_as(x)
        if self.training and torch.is_grad_enabled():
            y = self._balanced(y, routing, chosen.unflatten(0, x.shape[:2]), real)
        return y

    def _through_experts(self, flat: Tensor, routing: Routing, counts: Tensor) -> Tensor:
        top_k = routing.experts.shape[1]
        order = routing.experts.flatten().argsort(stable=True)
        out = self.exchange(flat[order // top_k], counts, self.experts)
        # Back by the inverse permutation: adding rows up in place would depend on their order.
        out = out[order.argsort()].unflatten(0, (-1, top_k))
        mixed = torch.einsum("nk,nkd->nd", routing.weights.to(out.dtype), out)
        return mixed.to(flat.dtype)

    def _balanced(self, y: Tensor, routing: Routing, chosen: Tensor, real: Tensor | None) -> Tensor:
        batch, length, _ = chosen.shape
        if real is None:
            real = torch.ones(1, 1, dtype=torch.bool, device=y.device)
        real = real.expand(batch, length)
        with torch.no_grad():
            self.load += (chosen & real[..., None]).sum(dim=(0, 1))
        loss = self.moe.z_coef * router_z(routing.logits.view(chosen.shape), real)
        if self.moe.balance == "loss":
            probabilities = routing.probabilities.view(chosen.shape)
            loss = loss + self.moe.aux_coef * sequence_balance(
                probabilities, chosen, real, self.moe.top_k, self.sequence_group
            )
        return attach_loss(y, loss, self.loss_scale)

    def update_bias(self, load: Tensor) -> None:
        """Move the bias of the choice against `load` [E], the tokens an expert got in a step over
        all ranks: by bias_update_rate, down where it is above the mean, up where it is below
        (DeepSeek-V3, arXiv 2412.19437, section 2.1.2). Does nothing with `balance: loss`, and
        where the router is frozen."""
        if self.choice_bias is None or not self.router.weight.requires_grad:
            return
        load = load.to(self.choice_bias)
        self.choice_bias += self.moe.bias_update_rate * (load.mean() - load).sign()

    def reset_buffers(self) -> None:
        """Zero what is no weight; needed where memory was taken without values (`to_empty`)."""
        for buffer in self.buffers(recurse=False):
            buffer.zero_()
