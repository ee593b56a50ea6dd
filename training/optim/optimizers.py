"""What updates the weights: one or two of torch's optimizers, seen as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from training.config import Optimizer as OptimizerConfig
from training.optim.muon import Muon
from training.optim.parameters import decayed_names, is_orthogonalized, kind_of

Named = Mapping[str, nn.Parameter]
Builder = Callable[[Named, OptimizerConfig], list[torch.optim.Optimizer]]


class Optimizers:
    """Optimizers over disjoint parameters.

    Build it after the model has been sharded: state has the layout of the parameters that it is
    given. All state exists from the start, so a checkpoint can be loaded into it.
    """

    def __init__(self, parameters: Named, members: list[torch.optim.Optimizer]) -> None:
        self.members = tuple(members)
        """For torch.distributed.checkpoint.state_dict, which takes several optimizers."""
        self._parameters = dict(parameters)
        for group in self.param_groups:
            group["initial_lr"] = group["lr"]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of all members."""
        return [group for member in self.members for group in member.param_groups]

    def step(self, factor: float = 1.0) -> None:
        """Update with `factor` of the configured learning rates, see `learning_rate`."""
        for group in self.param_groups:
            group["lr"] = group["initial_lr"] * factor
        for member in self.members:
            member.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for member in self.members:
            member.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """The state by `<parameter>.<kind>`, for instance `head.weight.exp_avg`.

        The tensors are the optimizers' own: loading into them loads the optimizers. Learning rates
        are no part of it, they follow from configuration and step.
        """
        found = {}
        for name, parameter in self._parameters.items():
            for member in self.members:
                for kind, value in member.state.get(parameter, {}).items():
                    found[f"{name}.{kind}"] = value
        return found


def build_optimizer(
    named: Iterable[tuple[str, nn.Parameter]], config: OptimizerConfig
) -> Optimizers:
    """The optimizers of `config.name` for parameters by plain name (`named_parameters`).

    Weight decay applies to `decayed_names`. A part without parameters gets an optimizer that does
    nothing.
    """
    parameters = dict(named)
    return Optimizers(parameters, OPTIMIZERS[config.name](parameters, config))


def adamw(parameters: Named, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101), torch's fused kernel."""
    return _adamw(parameters, config, decayed_names(parameters))


def _adamw(
    parameters: Named, config: OptimizerConfig, decayed: set[str]
) -> list[torch.optim.Optimizer]:
    groups: dict[Any, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault((name in decayed, kind_of(parameter)), []).append(parameter)
    if not groups:
        return []
    optimizer = torch.optim.AdamW(
        [
            {"params": members, "weight_decay": config.weight_decay if has_decay else 0.0}
            for (has_decay, _), members in groups.items()
        ],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )
    for parameter in parameters.values():
        # What AdamW itself makes at its first step.
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return [optimizer]


def muon(parameters: Named, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between hidden states, AdamW for embedding, head, router, norms and
    biases."""
    decayed = decayed_names(parameters)
    matrices = {n: p for n, p in parameters.items() if is_orthogonalized(n, p)}
    members = _adamw({n: p for n, p in parameters.items() if n not in matrices}, config, decayed)
    lr = config.lr if config.muon_lr is None else config.muon_lr
    for has_decay in (True, False):
        alike = [p for n, p in matrices.items() if (n in decayed) == has_decay]
        if alike:
            decay = config.weight_decay if has_decay else 0.0
            members.append(Muon(alike, lr, config.momentum, decay))
    return members


OPTIMIZERS: dict[str, Builder] = {"adamw": adamw, "muon": muon}
