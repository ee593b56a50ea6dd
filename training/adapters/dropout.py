"""What is dropped in a step follows from the seed and the step, so that a run that goes on repeats
it."""

from __future__ import annotations

import hashlib

import torch


class DropoutSeed:
    """A `training.step.StepHook` that seeds torch's generators, which nothing else draws from, with
    (seed, rank, step). Other numbers of ranks draw other masks."""

    def __init__(self, *key: int) -> None:
        """`key`: the seed, and numbers of what this rank holds of a batch."""
        self._key = key

    def before_forward(self, number: int) -> None:
        """Step `number` begins."""
        text = "/".join(map(str, (*self._key, number)))
        torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big"))

    def after_backward(self, number: int) -> None:
        """Nothing."""

    def after_step(self, number: int) -> None:
        """Nothing."""
