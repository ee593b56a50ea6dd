"""CPU seconds and peak memory of this process and its children, for run.json."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

SAMPLE_SECONDS = 1.0


class ResourceWatch:
    """Samples the process tree while a run goes on.

    Memory is proportional set size where the system tells it (Linux): pages that processes share,
    such as the mapped block list, count once.
    """

    def __init__(self) -> None:
        self.peak_memory_bytes = 0
        self._stop = threading.Event()

    def cpu_seconds(self) -> float:
        """User and system time so far: this process, ended children and living ones."""
        total = 0.0
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            total += usage.ru_utime + usage.ru_stime
        for child in psutil.Process().children(recursive=True):
            try:
                times = child.cpu_times()
            except psutil.Error:
                continue  # ended since it was listed: counted among the ended from now on
            total += times.user + times.system
        return total

    def sample(self) -> None:
        """Take one measurement of memory."""
        total = 0
        root = psutil.Process()
        for process in [root, *root.children(recursive=True)]:
            try:
                memory = process.memory_full_info()
            except psutil.Error:
                continue  # ended since it was listed
            total += memory.pss if sys.platform == "linux" else memory.rss
        self.peak_memory_bytes = max(self.peak_memory_bytes, total)

    def _loop(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.sample()

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample memory in the background while the block runs."""
        thread = threading.Thread(target=self._loop, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self.sample()
