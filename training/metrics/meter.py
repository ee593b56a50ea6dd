"""Rates of a run: tokens a second, MFU, what the loader cost, and when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Rates(NamedTuple):
    """Of the steps since the last look, pauses left out; all ranks together."""

    tokens_per_s: float
    mfu: float
    """Share of the peak: tokens_per_s * FLOPs a token / (peak * devices)."""
    step_seconds: float
    stall: float
    """Share of the time spent waiting for the loader, 0 to 1."""
    eta_seconds: float | None
    """To the last step, at the pace of this process so far with its pauses; None before a step."""


class Meter:
    """Counts steps and tokens against a clock. Its user says when it waits and when it pauses."""

    def __init__(
        self,
        *,
        flops_per_token: float,
        peak_flops: float,
        devices: int,
        steps: int,
        first_step: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin now; `steps` is the last step's number, `first_step` the steps done before."""
        self._flops = flops_per_token
        self._peak = peak_flops * devices
        self._left = steps - first_step
        self._clock = clock
        self._begin = clock()
        self._done = 0
        self._reset()

    def _reset(self) -> None:
        self._since = self._clock()
        self._steps = self._tokens = 0
        self._waited = self._paused = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time in this block counts as waiting for the loader, and as part of the step."""
        start = self._clock()
        try:
            yield
        finally:
            self._waited += self._clock() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time in this block (validation, a checkpoint) is no training: it counts for the end of
        the run alone."""
        start = self._clock()
        try:
            yield
        finally:
            self._paused += self._clock() - start

    def step(self, tokens: int) -> None:
        """One more step is done, with `tokens` over all ranks (padding and inputs without a target
        count too: they are computed)."""
        self._steps += 1
        self._done += 1
        self._tokens += tokens

    def take(self) -> Rates:
        """The rates since the last call, or since the start; then counts anew."""
        now = self._clock()
        seconds = max(now - self._since - self._paused, 1e-9)
        rate = self._tokens / seconds
        rates = Rates(
            tokens_per_s=rate,
            mfu=rate * self._flops / self._peak,
            step_seconds=seconds / max(self._steps, 1),
            stall=min(self._waited / seconds, 1.0),
            eta_seconds=self._eta(now),
        )
        self._reset()
        return rates

    def _eta(self, now: float) -> float | None:
        if not self._done:
            return None
        return max(self._left - self._done, 0) * (now - self._begin) / self._done
