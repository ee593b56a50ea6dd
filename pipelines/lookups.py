"""Many look-ups in stores at a time: waiting is most of each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")

AT_ONCE = 32
_AHEAD = 8 * AT_ONCE
"""Look-ups begun or done before the first of them is handed on: enough that a slow one holds up
no others, and few enough that the memory does not grow with the items."""


def look_up_each(
    look_up: Callable[[Item], Found], items: Iterable[Item], far: Callable[[Item], bool]
) -> Iterator[Found]:
    """look_up(item) of each item, in the order of the items.

    Those that lie far away are looked up AT_ONCE at a time, on threads; the others in their turn.
    Raises what the first item in order raises; what has not begun by then does not begin.
    """
    threads: _Threads[Found] = _Threads()
    begun: deque[Callable[[], Found]] = deque()
    try:
        for item in items:
            later = partial(look_up, item)
            begun.append(threads.begin(later).result if far(item) else later)
            if len(begun) > _AHEAD:
                yield begun.popleft()()
        while begun:
            yield begun.popleft()()
    finally:
        threads.end()


class _Threads(Generic[Found]):
    """Up to AT_ONCE daemon threads. The process would wait for those of an executor at its end,
    and Ctrl-C is to be answered while a server is silent."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Future[Found], Callable[[], Found]] | None] = SimpleQueue()
        self._started = 0
        self._over = False

    def begin(self, call: Callable[[], Found]) -> Future[Found]:
        """What `call` gives or raises, later."""
        future: Future[Found] = Future()
        self._waiting.put((future, call))
        if self._started < AT_ONCE:
            self._started += 1
            threading.Thread(target=self._work, name="look-up", daemon=True).start()
        return future

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None and not self._over:
            future, call = job
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 (raised where the result is asked for)
                future.set_exception(error)

    def end(self) -> None:
        """Begin nothing more. Nobody waits for what is under way."""
        self._over = True
        for _ in range(self._started):
            self._waiting.put(None)
