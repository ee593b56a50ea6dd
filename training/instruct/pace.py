"""Requests and tokens a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class Pace:
    """Spaces requests out so that an endpoint's limits hold; threads share one."""

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._requests = requests_per_minute
        self._tokens = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._next = 0.0

    def wait(self, tokens: int) -> None:
        """Return when a request of `tokens` may be sent."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + max(
                60 / self._requests if self._requests else 0.0,
                60 * tokens / self._tokens if self._tokens else 0.0,
            )
        if turn > now:
            self._sleep(turn - now)
