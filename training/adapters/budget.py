"""AdaLoRA: a budget of ranks that follows the importance of triplets (Zhang et al., arXiv
2303.10512). Formulas are those of the paper, details where it is silent those of its code, as peft
has them (`tuners/adalora/layer.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model.adapters.config import RankBudget
from model.adapters.lora import LoraLinear

_FACTORS = ("lora_a", "lora_b", "lora_e")


def ranks_left(budget: RankBudget, first: int, matrices: int, step: int) -> int:
    """Ranks over all matrices after a step: all, a cubic fall, the target (equation 12). `first` is
    the number at the start."""
    target = budget.target_rank * matrices
    if step <= budget.start:
        return first
    if step >= budget.end:
        return target
    left = 1 - (step - budget.start) / (budget.end - budget.start)
    return int((first - target) * left**3 + target)


class RankAllocator:
    """A `training.step.StepHook`: takes part in each step with the gradients of that step.

    Every rank has whole replicas and equal gradients, so all choose the same ranks.
    """

    def __init__(self, layers: Mapping[str, LoraLinear], budget: RankBudget) -> None:
        """Over the adapted layers of a whole model, in its order."""
        self.budget = budget
        self.layers = dict(layers)
        self.importance: dict[str, Tensor] = {}
        """Smoothed sensitivities (equation 9), by parameter."""
        self.uncertainty: dict[str, Tensor] = {}
        """Their smoothed deviation (equation 10)."""
        for name, parameter in self._factors():
            self.importance[name] = torch.zeros_like(parameter)
            self.uncertainty[name] = torch.zeros_like(parameter)
        self._sensitivity: dict[str, Tensor] = {}
        """Of the step under way, until it turns out to be taken."""
        self._averages: dict[str, Tensor] = {}
        self._first = sum(len(layer.lora_a) for layer in self.layers.values())

    def follow(self, averages: Mapping[str, Tensor]) -> None:
        """Keep the budget in averaged weights too; `averages` are theirs, by name."""
        self._averages = {name: averages[f"{name}.lora_e"] for name in self.layers}

    def before_forward(self, number: int) -> None:
        """Forget what a step that was skipped has left."""
        self._sensitivity.clear()

    @torch.no_grad()
    def after_backward(self, number: int) -> None:
        """Add the regularisation's gradient, then see how sensitive the objective, which it is part
        of (section 3.2), is to each number."""
        self._orthogonalize()
        if number >= self.budget.end:
            return
        for name, parameter in self._factors():
            if parameter.grad is not None:
                self._sensitivity[name] = (parameter * parameter.grad).abs()

    @torch.no_grad()
    def after_step(self, number: int) -> None:
        """Take in the sensitivities; zero the Lambdas that the budget has no room for. Those may
        grow back until `end`, and averages of them stay until then."""
        budget = self.budget
        for name, sensitivity in self._sensitivity.items():
            self._note(name, sensitivity)
        due = number > budget.start and (number - budget.start) % budget.every == 0
        if number >= budget.end or due:
            left = ranks_left(budget, self._first, len(self.layers), number)
            self._keep(left, averages=number >= budget.end)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps. Loading into it loads the allocator."""
        kinds = {"importance": self.importance, "uncertainty": self.uncertainty}
        return {f"{n}.{kind}": t for kind, of in kinds.items() for n, t in of.items()}

    def _note(self, name: str, sensitivity: Tensor) -> None:
        smooth, apart = self.importance[name], self.uncertainty[name]
        smooth.lerp_(sensitivity, 1 - self.budget.beta1)
        apart.lerp_((sensitivity - smooth).abs(), 1 - self.budget.beta2)

    def _orthogonalize(self) -> None:
        """Add the gradient of factor / matrices * sum ||M M' - I|| over P' and Q (equation 4; like
        peft, the norm itself, not its square, and the mean): 2 (M M' - I) M / ||M M' - I||."""
        if not self.budget.orthogonality:
            return
        factor = self.budget.orthogonality / (2 * len(self.layers))
        for layer in self.layers.values():
            for parameter, rows in ((layer.lora_a, False), (layer.lora_b, True)):
                if parameter.grad is None:
                    continue
                matrix = parameter.t() if rows else parameter
                excess = matrix @ matrix.t() - torch.eye(len(matrix), device=matrix.device)
                gradient = 2 * (excess @ matrix) / excess.norm().clamp_min(1e-12)
                parameter.grad.add_(gradient.t() if rows else gradient, alpha=factor)

    def _keep(self, ranks: int, *, averages: bool) -> None:
        """Zero Lambda of all but the `ranks` triplets of highest importance."""
        scores = {name: self._scores(name) for name in self.layers}
        order = torch.cat(list(scores.values())).sort(descending=True, stable=True).indices
        kept = torch.zeros(len(order), dtype=torch.bool, device=order.device)
        kept[order[:ranks]] = True
        sizes = [len(score) for score in scores.values()]
        for (name, layer), mask in zip(self.layers.items(), kept.split(sizes), strict=True):
            assert layer.lora_e is not None
            layer.lora_e.masked_fill_(~mask, 0.0)
            if averages and name in self._averages:
                self._averages[name].masked_fill_(~mask, 0.0)

    def _scores(self, layer: str) -> Tensor:
        """Importance of each triplet [r]: that of Lambda and the means over its two vectors
        (equation 7), each number's being importance times uncertainty (equation 11)."""
        a, b, e = (
            self.importance[f"{layer}.{kind}"] * self.uncertainty[f"{layer}.{kind}"]
            for kind in _FACTORS
        )
        return e + a.mean(dim=1) + b.mean(dim=0)

    def _factors(self) -> Sequence[tuple[str, nn.Parameter]]:
        return [
            (f"{name}.{kind}", getattr(layer, kind))
            for name, layer in self.layers.items()
            for kind in _FACTORS
        ]
