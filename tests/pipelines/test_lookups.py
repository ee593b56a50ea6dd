"""Look-ups in stores: many at a time, handed on in order, the first error in order."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.lookups import AT_ONCE, look_up_each


def always(item: int) -> bool:
    return True


def never(item: int) -> bool:
    return False


@pytest.mark.parametrize("far", [always, never, lambda item: item % 3 == 0])
def test_the_order_is_that_of_the_items(far: object) -> None:
    found = look_up_each(lambda n: n * n, range(2000), far=far)  # type: ignore[arg-type]
    assert list(found) == [n * n for n in range(2000)]
    assert list(look_up_each(str, [], far=always)) == []


def test_many_far_ones_are_under_way_together() -> None:
    together = threading.Barrier(AT_ONCE, timeout=60)

    def meet(item: int) -> int:
        together.wait()
        return item

    items = range(4 * AT_ONCE)
    assert list(look_up_each(meet, items, far=always)) == list(items)


def test_near_ones_are_looked_up_here_in_their_turn() -> None:
    here = threading.current_thread()
    seen: list[int] = []

    def look(item: int) -> int:
        assert threading.current_thread() is here
        seen.append(item)
        return item

    found = look_up_each(look, range(10), far=never)
    assert next(found) == 0
    assert seen == [0]


@pytest.mark.parametrize("far", [always, never, lambda item: item % 2 == 0])
def test_the_first_error_in_order_is_raised(far: object) -> None:
    later_failed = threading.Event()

    def look(item: int) -> int:
        if item == 5:
            if far is always:
                assert later_failed.wait(60)
            raise ValueError("the first")
        if item > 5:
            later_failed.set()
            raise ValueError("a later one")
        return item

    found = look_up_each(look, range(100), far=far)  # type: ignore[arg-type]
    assert [next(found) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="the first"):
        next(found)


def test_items_are_taken_a_bounded_number_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100_000):
            taken.append(item)
            yield item

    found = look_up_each(lambda n: n, items(), far=always)
    assert next(found) == 0
    assert len(taken) < 1000


SILENT = """
import threading
from pipelines.lookups import look_up_each

def look(item):
    if item:
        threading.Event().wait()
    raise ValueError("the first")

for _ in look_up_each(look, range(100), far=lambda item: True):
    pass
"""


def test_nobody_waits_for_a_silent_server(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SILENT], cwd=repository, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: the first\n")
