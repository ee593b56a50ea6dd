"""Four processes that wait for work over gloo: started once a session, as starting costs seconds.

A task is a function that can be imported, called on every rank of a fresh process group. A rank
that fails ends the task with its traceback; after one that died or hangs the pool starts anew.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, TypeVar

R = TypeVar("R")

RANKS = 4
START_SECONDS = 300.0
"""For processes to start and import torch, on a machine that is busy."""
THREADS_MAX = 150
"""Groups that outlive their task keep threads that spin once their peers are gone: processes with
more threads than this are replaced."""
GRACE_SECONDS = 3.0
"""How long the others may take to fail too, once one rank has failed."""


class RankFailed(AssertionError):
    """What went wrong on which ranks."""


class Answer(NamedTuple):
    succeeded: bool
    result: Any
    """What the function returned, or what went wrong."""
    alive: bool = True
    """Whether the process waits for the next task."""


class Ranks:
    """`run(function, *arguments)` on some of `size` ranks."""

    def __init__(self, size: int = RANKS) -> None:
        self.size = size
        self._workers: list[tuple[Any, Connection]] = []
        self._store: Any = None
        self._tasks = 0

    def run(
        self,
        function: Callable[..., R],
        *arguments: Any,
        world: int | None = None,
        timeout_seconds: float = 120,
        **named: Any,
    ) -> list[R]:
        """The results by rank. Raises RankFailed with the tracebacks."""
        if any(_threads(process.pid) > THREADS_MAX for process, _ in self._workers):
            self.close()
        if not self._workers:
            self._start()
        self._tasks += 1
        world = world or self.size
        task = (f"task{self._tasks}", world, timeout_seconds, function, arguments, named)
        pipes = [pipe for _, pipe in self._workers[:world]]
        for pipe in pipes:
            pipe.send(task)
        answers = self._collect(pipes, time.monotonic() + timeout_seconds)
        failed = [f"rank {r}: {a.result}" for r, a in enumerate(answers) if not a.succeeded]
        if failed:
            if not all(answer.alive for answer in answers):
                self.close()
            raise RankFailed("\n".join(failed))
        return [answer.result for answer in answers]

    def _collect(self, pipes: list[Connection], deadline: float) -> list[Answer]:
        answers: dict[int, Answer] = {}
        while len(answers) < len(pipes):
            waiting = {pipe: rank for rank, pipe in enumerate(pipes) if rank not in answers}
            ready = wait(list(waiting), timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            for pipe in ready:
                assert isinstance(pipe, Connection)
                try:
                    answer = pipe.recv()
                except EOFError:
                    answer = Answer(False, "the process died", alive=False)
                answers[waiting[pipe]] = answer
                if not answer.succeeded:
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        late = Answer(False, "no answer in time", alive=False)
        return [answers.get(rank, late) for rank in range(len(pipes))]

    def _start(self) -> None:
        from torch.distributed import TCPStore

        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        context = multiprocessing.get_context("spawn")
        with _environment(OMP_NUM_THREADS="1", ONEDNN_MAX_CPU_ISA="AVX512_CORE_BF16"):
            for rank in range(self.size):
                ours, theirs = context.Pipe()
                arguments = (rank, self._store.port, theirs)
                process = context.Process(target=_serve, args=arguments, daemon=True)
                process.start()
                theirs.close()
                self._workers.append((process, ours))
        self._collect([pipe for _, pipe in self._workers], time.monotonic() + START_SECONDS)

    def close(self) -> None:
        """End the processes; the next task starts others."""
        for process, pipe in self._workers:
            pipe.close()
            process.kill()
            process.join()
        self._workers, self._store = [], None


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:  # another system, or a process that is gone
        return 0


@contextlib.contextmanager
def _environment(**changes: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(rank: int, port: int, pipe: Connection) -> None:
    import torch
    from torch import distributed
    from torch.distributed.tensor.debug import _clear_sharding_prop_cache

    torch.set_num_threads(1)
    store = distributed.TCPStore("127.0.0.1", port, is_master=False)
    pipe.send(Answer(True, None))
    while True:
        try:
            task, world, seconds, function, arguments, named = pipe.recv()
        except EOFError:
            return
        try:
            distributed.init_process_group(
                "gloo",
                store=distributed.PrefixStore(task, store),
                rank=rank,
                world_size=world,
                timeout=timedelta(seconds=seconds),
            )
            answer = Answer(True, function(*arguments, **named))
            distributed.barrier()
        except Exception:  # noqa: BLE001 - whatever it is, the test that asked has to see it
            answer = Answer(False, traceback.format_exc())
        if not answer.succeeded:
            pipe.send(answer)  # before anything that could wait for the others
        if distributed.is_initialized():
            distributed.destroy_process_group()
        # Groups of a task have threads, and live in the cycles of the modules that use them and in
        # a cache, whose meshes would equal those of the next task.
        del function, arguments, named
        _clear_sharding_prop_cache()
        gc.collect()
        if answer.succeeded:
            pipe.send(answer)
        del answer
