"""Being told to stop: the step that runs is finished, the state saved, then the run ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Which signal came first, if any. A scheduler may send SIGTERM several times; a second Ctrl-C
    ends the process at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def wanted(self) -> bool:
        """Whether this process was told to stop."""
        return self.signal is not None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note SIGTERM and SIGINT instead of dying of them."""
        before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = self.signal or signal.Signals(number)
