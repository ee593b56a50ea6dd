"""Many look-ups in stores at a time: waiting is most of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import TypeVar

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
    Raises what the first item in order raises; what has not begun by then does not begin, and
    nobody waits for what is under way.
    """
    # Its threads are daemons, unlike an executor's: Ctrl-C is answered while a server is silent.
    threads: ThreadPool | None = None
    begun: deque[Callable[[], Found]] = deque()
    with ExitStack() as stack:
        for item in items:
            if not far(item):
                begun.append(partial(look_up, item))
            else:
                if threads is None:
                    threads = stack.enter_context(ThreadPool(AT_ONCE))
                begun.append(threads.apply_async(look_up, (item,)).get)
            if len(begun) > _AHEAD:
                yield begun.popleft()()
        while begun:
            yield begun.popleft()()
