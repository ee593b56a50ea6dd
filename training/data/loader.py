"""Batches of a rank, made ahead of the step that takes them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

from schemas.errors import UsageError
from training.data.batch import Batch

_POLL_SECONDS = 0.2
"""How often a thread that waits for room looks whether it should end."""


class Samples(Protocol):
    """What a loader reads: a `Corpus`."""

    def samples(self, start: int, count: int) -> Batch:
        """Samples by number."""


class Loader:
    """Iterates over steps; each gives the micro-batches of this rank.

    Step s takes samples `start_sample` + s * batch_size on; rank r of `ranks` has the r-th of
    equal consecutive parts, cut into `accumulation` micro-batches. `prefetch` steps are made ahead
    by a thread; 0 makes them when asked. What the thread raises comes out of the iteration. Close
    it, or use it as a context manager; after that it cannot be iterated.
    """

    def __init__(
        self,
        corpus: Samples,
        start_sample: int,
        batch_size: int,
        steps: int,
        rank: int = 0,
        ranks: int = 1,
        accumulation: int = 1,
        prefetch: int = 4,
    ) -> None:
        """`ranks` are those that hold different rows: data-parallel ones.

        Raises UsageError when `batch_size` does not divide into ranks and micro-batches.
        """
        check_batch(batch_size, ranks, accumulation)
        self._corpus = corpus
        self._part = batch_size // ranks
        self._start = start_sample + rank * self._part
        self._batch_size = batch_size
        self._steps = steps
        self._micro = self._part // accumulation
        self.stall_seconds = 0.0
        """Time that the iteration waited for batches, so far."""
        self._ready: queue.Queue[list[Batch] | BaseException] = queue.Queue(max(prefetch, 1))
        self._closed = threading.Event()
        self._taken = 0
        self._thread: threading.Thread | None = None
        if prefetch:
            self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
            self._thread.start()

    def __iter__(self) -> Iterator[list[Batch]]:
        return self

    def __next__(self) -> list[Batch]:
        if self._taken >= self._steps or self._closed.is_set():
            raise StopIteration
        begin = time.perf_counter()
        made = self._make(self._taken) if self._thread is None else self._ready.get()
        self.stall_seconds += time.perf_counter() - begin
        if isinstance(made, BaseException):
            self.close()
            raise made
        self._taken += 1
        return made

    def close(self) -> None:
        """End the thread and drop what it made."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _make(self, step: int) -> list[Batch]:
        rows = self._corpus.samples(self._start + step * self._batch_size, self._part)
        return [rows.part(at, at + self._micro) for at in range(0, self._part, self._micro)]

    def _work(self) -> None:
        for step in range(self._steps):
            made: list[Batch] | BaseException
            try:
                made = self._make(step)
            # Whatever it is, the consumer must hear of it: it waits for this batch.
            except BaseException as error:  # noqa: BLE001
                made = error
            if not self._offer(made) or isinstance(made, BaseException):
                return

    def _offer(self, made: list[Batch] | BaseException) -> bool:
        while not self._closed.is_set():
            try:
                self._ready.put(made, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False


def check_batch(batch_size: int, ranks: int, accumulation: int) -> None:
    """Raises UsageError, with the nearest sizes that do, when `batch_size` does not divide into
    `ranks` equal parts of `accumulation` micro-batches each."""
    unit = ranks * accumulation
    if batch_size % unit:
        below, above = batch_size // unit * unit, -(-batch_size // unit) * unit
        fitting = f"{below} or {above}" if below else f"{above}"
        raise UsageError(
            f"train.batch_size {batch_size} does not divide into {ranks} data-parallel ranks x "
            f"train.accumulation {accumulation}; {fitting} would"
        )
