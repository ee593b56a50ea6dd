"""An exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from training.optim.parameters import named_parameters


class WeightAverage:
    """average = d * average + (1 - d) * weights after each step, laid out as the parameters are.

    The average starts as the first weights. To forget those, which know nothing, d grows with the
    number of updates n as min(decay, (1 + n) / (10 + n)), as TensorFlow's ExponentialMovingAverage
    does with `num_updates`; there is no other correction of bias.
    """

    def __init__(self, parts: Iterable[nn.Module], decay: float) -> None:
        """Build it after the model has been sharded and has its weights."""
        self.decay = decay
        self._parts = tuple(parts)
        self._parameters = dict(named_parameters(self._parts))
        self._averages = {n: p.detach().clone() for n, p in self._parameters.items()}
        self._updates = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self._updates += 1
        n = int(self._updates)
        share = 1 - min(self.decay, (1 + n) / (10 + n))
        for name, average in self._averages.items():
            average.lerp_(self._parameters[name].detach(), share)

    def state(self) -> dict[str, Tensor]:
        """By plain name of the parameter, and `updates`. Loading into it loads the average."""
        return {**self._averages, "updates": self._updates}

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The averages in the place of the weights; afterwards both are as before, bit for bit.

        Do not train inside. Costs one parameter of memory.
        """
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self._averages.items():
            parameter = self._parameters[name].detach()
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)
        # After an evaluation FSDP still holds the whole root, gathered from the old weights.
        for part in self._parts:
            for module in part.modules():
                if isinstance(module, FSDPModule):
                    module.reshard()
