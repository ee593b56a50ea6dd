"""Batches of a rank, made ahead of the step that takes them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol

from schemas.errors import UsageError
from training.data.batch import Batch


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
        self._taken = 0
        self._closed = False
        self._prefetch = prefetch
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches") if prefetch else None
        self._ahead: deque[Future[list[Batch]]] = deque()
        self._make_ahead()

    def __iter__(self) -> Iterator[list[Batch]]:
        return self

    def __next__(self) -> list[Batch]:
        if self._taken >= self._steps or self._closed:
            raise StopIteration
        begin = time.perf_counter()
        with ExitStack() as stack:
            stack.callback(self.close)
            made = self._ahead.popleft().result() if self._ahead else self._make(self._taken)
            stack.pop_all()
        self.stall_seconds += time.perf_counter() - begin
        self._taken += 1
        self._make_ahead()
        return made

    def close(self) -> None:
        """End the thread and drop what it made."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

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

    def _make_ahead(self) -> None:
        """Ask for the steps that follow the taken ones; what fails is raised where it is taken."""
        # `prefetch` that are ready, and one in the making.
        ends = min(self._taken + self._prefetch + 1, self._steps)
        while self._pool is not None and self._taken + len(self._ahead) < ends:
            step = self._taken + len(self._ahead)
            self._ahead.append(self._pool.submit(self._make, step))


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
