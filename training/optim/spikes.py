"""Steps that would hurt are left out. Imports no torch."""

from __future__ import annotations

import math
from collections import deque
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from schemas.errors import InputError


class SpikeState(NamedTuple):
    """What a guard remembers: part of a checkpoint's record, as JSON."""

    losses: list[float]
    grad_norms: list[float]
    skipped: int


class SpikeGuard:
    """Refuses steps whose loss or gradient norm stands out (SkipStepOptimizer of OLMo-core,
    `optim/skip_step_optimizer.py`, as a function of two numbers).

    A step stands out if either value is no number, or is more than `factor` standard deviations
    above the mean of the last `window` steps; the latter only once half of the window has been
    seen. Falling values never do. Of a value that stands out only the part up to the limit is
    remembered: one spike does not hide the next, and a change that lasts is accepted after some
    steps. Given the same numbers every rank decides the same: give it reduced ones.
    """

    def __init__(self, factor: float | None, window: int) -> None:
        """`factor` None: nothing is refused."""
        self.factor = factor
        self.window = window
        self.skipped = 0
        """Steps refused so far."""
        self._losses: deque[float] = deque(maxlen=window)
        self._grad_norms: deque[float] = deque(maxlen=window)

    def accept(self, loss: float, grad_norm: float) -> bool:
        """Whether to take the step. Call it once a step, in nats a token and after reduction."""
        if self.factor is None:
            return True
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            self.skipped += 1
            return False
        # Both are judged, so that both are remembered.
        judged = [self._judge(self._losses, loss), self._judge(self._grad_norms, grad_norm)]
        self.skipped += not all(judged)
        return all(judged)

    def _judge(self, past: deque[float], value: float) -> bool:
        limit = math.inf
        if self.factor is not None and len(past) >= self.window // 2:
            limit = fmean(past) + self.factor * pstdev(past)
        past.append(min(value, limit))
        return value <= limit

    def state(self) -> dict[str, Any]:
        """As JSON. It does not depend on the number of ranks."""
        return SpikeState(list(self._losses), list(self._grad_norms), self.skipped)._asdict()

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state()`. Raises InputError when it is none."""
        try:
            read = SpikeState(**state)
            losses, grad_norms = map(float, read.losses), map(float, read.grad_norms)
            self._losses = deque(losses, maxlen=self.window)
            self._grad_norms = deque(grad_norms, maxlen=self.window)
            self.skipped = int(read.skipped)
        except (TypeError, ValueError) as error:
            raise InputError(f"record of a checkpoint: spike state is broken: {error}") from None
