"""The pool: order, limits, and what a dying child costs."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError

import pytest

from pipelines.pool import KillablePool, Killed, Limits
from schemas.errors import CorpusmillError, InputError


def setup(prefix: str) -> Callable[[str], str]:
    def work(task: str) -> str:
        if task == "spin":
            while True:
                pass
        if task == "exit":
            os._exit(7)
        if task == "segfault":
            ctypes.string_at(0)
        if task == "memory":
            return f"{len(bytearray(2 << 30))}"
        if task == "slow":
            time.sleep(0.3)
        if task == "wait":
            time.sleep(60)
        if task == "raise":
            raise ValueError("a defect of ours")
        return prefix + task

    return work


@pytest.fixture(scope="module")
def pool() -> Iterator[KillablePool[str, str]]:
    pool = KillablePool(2, setup, ("done ",), Limits(cpu_seconds=0.5, memory_mb=256))
    yield pool
    pool.close()


def run(pool: KillablePool[str, str], tasks: list[str]) -> list[str | Killed]:
    return [result for _, result in pool.results(tasks, lambda task: task, len)]


def test_results_come_in_order(pool: KillablePool[str, str]) -> None:
    tasks = ["slow", *map(str, range(100))]
    assert run(pool, tasks) == [f"done {task}" for task in tasks]


def test_one_bad_page_costs_one_page(pool: KillablePool[str, str]) -> None:
    results = run(pool, ["a", "spin", "b", "exit", "c", "segfault", "d"])
    assert results[0::2] == ["done a", "done b", "done c", "done d"]
    kinds = [result.error for result in results[1::2] if isinstance(result, Killed)]
    assert kinds == ["timeout", "crash", "crash"]
    assert "SIGSEGV" in results[5].detail  # type: ignore[union-attr]
    assert "exit code 7" in results[3].detail  # type: ignore[union-attr]


def test_memory_beyond_the_cap_is_refused(pool: KillablePool[str, str]) -> None:
    with pytest.raises(MemoryError):
        run(pool, ["memory"])
    assert run(pool, ["after"]) == ["done after"]


def test_a_defect_is_raised_and_not_hidden(pool: KillablePool[str, str]) -> None:
    with pytest.raises(ValueError, match="a defect of ours"):
        run(pool, ["raise"])


def test_waiting_is_not_counted_as_cpu(pool: KillablePool[str, str]) -> None:
    assert run(pool, ["slow"] * 4) == ["done slow"] * 4


def test_a_task_that_waits_for_ever_costs_itself() -> None:
    pool = KillablePool(2, setup, ("done ",), Limits(cpu_seconds=0.05, memory_mb=256))
    before, hung, after = run(pool, ["a", "wait", "b"])
    pool.close()
    assert (before, after) == ("done a", "done b")
    assert hung == Killed("hang", "no answer after 1 s; the process was killed")


def test_the_window_bounds_what_is_read_ahead(pool: KillablePool[str, str]) -> None:
    read: list[int] = []

    def items() -> Iterator[str]:
        for number in range(200):
            read.append(number)
            yield str(number)

    results = pool.results(items(), lambda task: task, lambda task: 1000, window_bytes=5000)
    next(results)
    assert len(read) <= 8
    assert len(list(results)) == 199


def fail_setup(kind: str) -> Callable[[str], str]:
    if kind == "ours":
        raise InputError("lid.bin: not a model")
    if kind == "exit":
        os._exit(3)
    raise OSError(f"no {kind}")


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("ours", "a worker process cannot start: lid.bin: not a model"),
        ("shared library", "a worker process cannot start: OSError: no shared library"),
        ("exit", "the worker processes died before they took a task"),
    ],
)
def test_children_that_cannot_start_say_why(
    kind: str, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = KillablePool(2, fail_setup, (kind,), Limits(cpu_seconds=1.0, memory_mb=256))
    with pytest.raises(CorpusmillError, match=f"^{line}"):
        run(pool, ["a", "b", "c"])
    pool.close()
    assert capfd.readouterr().err == ""


def test_closing_a_pool_ends_who_waits_for_it() -> None:
    pool = KillablePool(1, setup, ("",), Limits(cpu_seconds=60.0, memory_mb=256))
    assert run(pool, ["a"]) == ["a"]
    ends: list[BaseException] = []

    def wait() -> None:
        try:
            run(pool, ["spin", "b"])
        except (CancelledError, CorpusmillError) as error:
            ends.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    pool.close()
    waiting.join(10)
    assert [type(end) for end in ends] == [CancelledError]
    with pytest.raises(CorpusmillError, match="were stopped"):
        run(pool, ["c"])
