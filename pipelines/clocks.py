"""What a run took, over all the attempts that it needed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines import storage
from pipelines.account import Clock
from pipelines.resources import ResourceWatch
from pipelines.workspace import Workspace

WHOLE = "run"
"""Name under which the run itself is timed, phases and all between them."""


class Clocks:
    """Seconds and CPU seconds by phase; saved as phases end, so that a resumed run adds to what
    was spent before. What a killed phase spent is lost."""

    def __init__(
        self, workspace: Workspace, key: str, watch: ResourceWatch, keep: bool = True
    ) -> None:
        """Go on with the times that were saved under `key`; without `keep`, save nothing."""
        self._keep = keep
        self._path = workspace.work("clocks.json")
        self._key = key
        self._watch = watch
        self._times: dict[str, Clock] = {}
        if storage.exists(self._path):
            before = json.loads(storage.read_bytes(self._path))
            if before["key"] == key:
                self._times = {name: Clock(*spent) for name, spent in before["times"].items()}
        self._begun = self._now()

    def _now(self) -> Clock:
        return Clock(time.monotonic(), self._watch.cpu_seconds())

    def _add(self, name: str, since: Clock) -> Clock:
        now, spent = self._now(), self._times.get(name, Clock(0.0, 0.0))
        self._times[name] = Clock(
            spent.seconds + now.seconds - since.seconds,
            spent.cpu_seconds + now.cpu_seconds - since.cpu_seconds,
        )
        return now

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add what the block takes to a phase, and save."""
        begun = self._now()
        yield
        self._add(name, begun)
        self.save()

    def save(self) -> None:
        """Bring the time of the whole run up to now and write everything down."""
        self._begun = self._add(WHOLE, self._begun)
        times = {name: list(spent) for name, spent in self._times.items()}
        data = json.dumps({"key": self._key, "times": times})
        if self._keep:
            storage.write_bytes(self._path, data.encode())

    def spent(self, name: str) -> Clock:
        """What a phase, or the WHOLE run, took so far."""
        return self._times.get(name, Clock(0.0, 0.0))
