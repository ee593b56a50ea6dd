"""Many look-ups in stores at a time: waiting is most of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
    Raises what the first item in order raises; what has not begun by then does not begin.
    """
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="look-up")
    begun: deque[Callable[[], Found]] = deque()
    try:
        for item in items:
            later = partial(look_up, item)
            begun.append(threads.submit(later).result if far(item) else later)
            if len(begun) > _AHEAD:
                yield begun.popleft()()
        while begun:
            yield begun.popleft()()
    finally:
        # Not waited for: Ctrl-C is to be answered while a server is not.
        threads.shutdown(wait=False, cancel_futures=True)
