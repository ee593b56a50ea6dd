"""A pool of killable child processes, one task a page.

pebble runs the children (spawned, restarted after a death, a wall-clock limit); this module adds
what makes the outcome depend on the page alone: limits in CPU and wall-clock seconds, armed by the
kernel around each task, and a cap on the memory that one task may add.

Tasks travel in batches: handed over one by one they cost the parent, of which there is only one,
0.4 ms CPU a page more (0.9 instead of 0.5 with reading). A batch whose process died is run again
task by task, so that only the task that kills its process has no result.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Generic, NamedTuple, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from schemas.errors import CorpusmillError

Task = TypeVar("Task")
Result = TypeVar("Result")
Item = TypeVar("Item")

_WALL_PER_CPU_SECOND = 20.0
"""The wall-clock backstop for tasks that hang without using CPU, as a multiple of the CPU limit:
wide, so that a busy machine does not change what is kept."""

_BATCH_TASKS = 8
_BATCH_BYTES = 1_000_000
"""A batch is sent when it has so many tasks, or tasks of so many bytes."""
_BATCHES_PER_WORKER = 3
"""Batches under way: one at work, one waiting, and one to make up for slow ones."""

_BROKEN = (
    "the worker processes died before they took a task (out of memory?): run the same command "
    "again; what was finished is kept"
)
_CLOSED = "the worker processes were stopped"


_CONTAINERS_BETWEEN_COLLECTIONS = 100_000
"""Containers that a child piles up before it looks for cycles among them, instead of 700: pages
make many for a moment and leave no cycle (2,237 pages: 0 collections, 0 found afterwards), and
looking took a child 0.5 ms CPU a page, by gc.callbacks."""


class Limits(NamedTuple):
    """What one task may use."""

    cpu_seconds: float
    memory_mb: int


class Killed(NamedTuple):
    """A task without a result: `error` is timeout, hang or crash where its process died, or what
    its function says (out_of_memory, internal_error)."""

    error: str
    detail: str
    step: str | None = None
    """What of the task it was, where the function says it."""


class _Child:
    """What a child process holds between tasks; filled once by `_start_child`."""

    work: Callable[[Any], Any] | None = None
    problem: str = "was not set up"
    """Why there is no work."""
    limits: Limits = Limits(10.0, 1024)


def _start_child(
    setup: Callable[..., Callable[[Any], Any]], args: tuple[Any, ...], limits: Limits
) -> None:
    """Load models before the first task, so that no page pays for them with its CPU limit.

    A setup that fails is kept for the first task to tell: pebble would log it and start the next
    child, which fails as well.
    """
    Thread(target=_watch_parent, daemon=True).start()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _Child.limits = limits
    try:
        _Child.work = setup(*args)
    except CorpusmillError as error:
        _Child.problem = str(error)
    except Exception as error:  # noqa: BLE001 (raised in the parent by the first task)
        _Child.problem = f"{type(error).__name__}: {error}"
    # Models and modules live for ever: keep them out of every later collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_CONTAINERS_BETWEEN_COLLECTIONS)


def _watch_parent() -> None:
    """A parent killed with SIGKILL must not leave children behind, nor one that died before this
    process came to look at it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _address_space_bytes() -> int:
    """Virtual size of this process, from /proc; 0 where there is none."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split(maxsplit=1)[0]) * resource.getpagesize()
    except OSError:
        return 0


def _run_limited(task: Any) -> Any:
    """Run one task under its limits.

    ITIMER_PROF counts user and system time of the process, ITIMER_REAL that of the clock on the
    wall; the default action of their signals ends the process even inside C code, where no Python
    handler would run.
    """
    if _Child.work is None:
        raise SetupFailed(_Child.problem)
    limits = _Child.limits
    used = _address_space_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + limits.memory_mb * 1024 * 1024, hard))
    signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, limits.cpu_seconds * _WALL_PER_CPU_SECOND)
    try:
        return _Child.work(task)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _run_batch(tasks: list[Any]) -> list[Any]:
    return [_run_limited(task) for task in tasks]


class SetupFailed(Exception):
    """A child has no work; says why, in the child's words."""


class _QuietProcess(SpawnProcess):
    """A child that Ctrl-C does not reach: from its first instruction on, since a handler that it
    sets itself comes after seconds of imports, whose traceback would be shown."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _QuietSpawn(SpawnContext):
    Process = _QuietProcess


class KillablePool(Generic[Task, Result]):
    """`workers` processes that each call `setup(*args)` once and then its result on every task.

    `setup` and `args` are pickled to spawned children: a module-level function and plain data.
    """

    def __init__(
        self,
        workers: int,
        setup: Callable[..., Callable[[Task], Result]],
        args: tuple[Any, ...],
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._pool = ProcessPool(
            max_workers=workers,
            initializer=_start_child,
            initargs=(setup, args, limits),
            context=_QuietSpawn(),
        )
        self._open: set[ProcessFuture] = set()
        self._window = _BATCHES_PER_WORKER * workers
        self._finalizer = weakref.finalize(self, _stop, self._pool, self._open)

    def results(
        self,
        items: Iterable[Item],
        task_of: Callable[[Item], Task],
        weight_bytes: Callable[[Item], int],
        window_bytes: int = 64_000_000,
    ) -> Iterator[tuple[Item, Result | Killed]]:
        """Run every item's task, in parallel; yield (item, result) in the order given.

        At most `window_bytes` of items (by `weight_bytes`) and a fixed number of tasks wait at a
        time, so that memory stays flat whatever the input's length.

        Raises:
            CorpusmillError: the children cannot be set up, or died without a task.
            CancelledError: the pool was closed meanwhile.
        """
        waiting: deque[tuple[list[tuple[Item, Task]], ProcessFuture, int]] = deque()
        held_bytes = 0
        for batch, weight in _batches(items, weight_bytes, min(_BATCH_BYTES, window_bytes // 4)):
            pairs = [(item, task_of(item)) for item in batch]
            waiting.append((pairs, self._submit([task for _, task in pairs]), weight))
            held_bytes += weight
            while len(waiting) > self._window or held_bytes > window_bytes:
                first, future, freed = waiting.popleft()
                yield from self._finish(first, future)
                held_bytes -= freed
        while waiting:
            first, future, _ = waiting.popleft()
            yield from self._finish(first, future)

    def _finish(
        self, pairs: list[tuple[Item, Task]], future: ProcessFuture
    ) -> Iterator[tuple[Item, Result | Killed]]:
        """The results of a batch; if it died, those of its tasks one by one."""
        results = self._collect(future)
        if isinstance(results, Killed) and len(pairs) > 1:
            alone = [self._submit([task]) for _, task in pairs]
            for (item, _), single in zip(pairs, alone, strict=True):
                result = self._collect(single)
                yield item, result if isinstance(result, Killed) else result[0]
            return
        for number, (item, _) in enumerate(pairs):
            yield item, results if isinstance(results, Killed) else results[number]

    def _submit(self, tasks: list[Task]) -> ProcessFuture:
        # each task has a clock of its own in the child: this one is for a child that is stuck
        wall_seconds = self._limits.cpu_seconds * _WALL_PER_CPU_SECOND * (len(tasks) + 1)
        try:
            future = self._pool.schedule(_run_batch, args=(tasks,), timeout=wall_seconds)
        except RuntimeError as error:
            raise CorpusmillError(_BROKEN if self._finalizer.alive else _CLOSED) from error
        self._open.add(future)
        if not self._finalizer.alive:  # closed by another thread in between
            future.cancel()
        return future

    def _collect(self, future: ProcessFuture) -> list[Result] | Killed:
        """A batch's results, or how its process died; an exception it raised is raised here."""
        limit = self._limits.cpu_seconds
        hang = f"no answer after {limit * _WALL_PER_CPU_SECOND:.0f} s; the process was killed"
        try:
            results: list[Result] = future.result()
            return results
        except SetupFailed as error:
            raise CorpusmillError(f"a worker process cannot start: {error}") from error
        except BrokenProcessPool as error:
            raise CorpusmillError(_BROKEN) from error
        except FutureTimeoutError:
            return Killed("hang", hang)
        except ProcessExpired as death:
            if death.exitcode == -signal.SIGPROF:
                return Killed("timeout", f"more than {limit:g} CPU seconds; the process was killed")
            if death.exitcode == -signal.SIGALRM:
                return Killed("hang", hang)
            return Killed("crash", _describe_exit(death.exitcode))
        finally:
            self._open.discard(future)

    def close(self) -> None:
        """End the children; tasks still running are killed, and who waits for them is told."""
        self._finalizer()


def _batches(
    items: Iterable[Item], weight_bytes: Callable[[Item], int], batch_bytes: int
) -> Iterator[tuple[list[Item], int]]:
    """Runs of items, in order, each with its weight."""
    batch: list[Item] = []
    weight = 0
    for item in items:
        batch.append(item)
        weight += weight_bytes(item)
        if len(batch) == _BATCH_TASKS or weight >= batch_bytes:
            yield batch, weight
            batch, weight = [], 0
    if batch:
        yield batch, weight


def _stop(pool: ProcessPool, open_futures: set[ProcessFuture]) -> None:
    pool.stop()
    for future in tuple(open_futures):
        future.cancel()
    pool.join()


def _describe_exit(exitcode: int) -> str:
    if exitcode < 0:
        try:
            name = signal.Signals(-exitcode).name
        except ValueError:
            name = str(-exitcode)
        return f"the process died of signal {name}"
    return f"the process ended with exit code {exitcode}"


def default_workers() -> int:
    """As many children as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
