"""Learning rates as functions of the step: nothing to save, nothing to restore. Imports no torch.

Each shape gives the share of the highest learning rate after the warmup. Steps are counted from 0;
the last one, `steps - 1`, still learns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from schemas.errors import UsageError
from training.config import Schedule

Shape = Callable[[Schedule, int, int], float]
"""(schedule, steps of the run, step from `warmup_steps` on) -> 0 to 1, before `final`."""


def learning_rate(schedule: Schedule, steps: int, step: int) -> float:
    """The factor on the configured learning rate at a step, 0 to `steps` - 1.

    Warmup rises linearly and reaches 1 with its last step: (step + 1) / warmup_steps. After it the
    shape goes from 1 towards 0 at `steps`, which is mapped to 1 .. `schedule.final`. A run shorter
    than its warmup never leaves it. Steps beyond the run keep the last factor.
    """
    step = min(step, steps - 1)
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    return schedule.final + (1 - schedule.final) * SCHEDULES[schedule.name](schedule, steps, step)


def check_schedule(schedule: Schedule, steps: int) -> None:
    """Raises UsageError for a warmup and decay that do not fit into the run."""
    if schedule.warmup_steps >= steps and schedule.warmup_steps:
        raise UsageError(
            f"schedule.warmup_steps: {schedule.warmup_steps} steps of warmup in a run of {steps} "
            "(train.steps): give fewer"
        )
    if schedule.name == "wsd" and schedule.warmup_steps + (schedule.decay_steps or 0) > steps:
        raise UsageError(
            f"schedule.decay_steps: warmup ({schedule.warmup_steps}) and decay "
            f"({schedule.decay_steps}) are longer than the run of {steps} steps (train.steps)"
        )


def _constant(schedule: Schedule, steps: int, step: int) -> float:
    return 1.0


def _linear(schedule: Schedule, steps: int, step: int) -> float:
    """A straight line (Defazio et al., arXiv 2310.07831, find it the best of the simple ones)."""
    return (steps - step) / (steps - schedule.warmup_steps)


def _cosine(schedule: Schedule, steps: int, step: int) -> float:
    """Half a cosine (Loshchilov and Hutter, arXiv 1608.03983, equation 5, without restarts)."""
    done = (step - schedule.warmup_steps) / (steps - schedule.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def _wsd(schedule: Schedule, steps: int, step: int) -> float:
    """Warmup, stable, decay (Hu et al., arXiv 2404.06395, section 4), with the 1 - sqrt decay of
    Hägele et al. (arXiv 2405.18392, section 4.2), which ends below the linear one there."""
    decay = steps // 5 if schedule.decay_steps is None else schedule.decay_steps
    decay = min(decay, steps - schedule.warmup_steps)
    into = step - (steps - decay)
    return 1.0 if into <= 0 else 1 - math.sqrt(into / decay)


SCHEDULES: dict[str, Shape] = {
    "wsd": _wsd,
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
}
