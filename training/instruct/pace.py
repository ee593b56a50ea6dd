"""Requests and tokens a minute."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Event, Lock

Sleep = Callable[[Event, float], object]
"""Wait so many seconds, or until the event is set: Event.wait, or what a test has in its place."""


class Pace:
    """Spaces requests out so that an endpoint's limits hold; threads share one."""

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = Event.wait,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` draws from 0 to 1: seconds that keep threads apart after a pause."""
        self._requests = requests_per_minute
        self._tokens = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._lock = Lock()
        self._next = self._paused_until = 0.0

    def wait(self, tokens: int, stopped: Event) -> None:
        """Return when a request of `tokens` may be sent, or `stopped` is set."""
        turn, seconds = self._turn(tokens)
        while seconds > 0 and not stopped.is_set():
            self._sleep(stopped, seconds)
            if turn >= self._paused_until:
                return
            turn, seconds = self._turn(tokens)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the endpoint asks for it. Those who wait for their turn take
        a new one afterwards."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _turn(self, tokens: int) -> tuple[float, float]:
        """When a request may be sent, and in how many seconds that is."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next, self._paused_until)
            self._next = turn + max(
                60 / self._requests if self._requests else 0.0,
                60 * tokens / self._tokens if self._tokens else 0.0,
            )
            if now < turn == self._paused_until:
                turn += self._jitter()
        return turn, turn - now
