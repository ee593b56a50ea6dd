"""Requests through the cache, the budget and the threads; answers in the order of the requests."""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from threading import Condition, Event, RLock

from schemas.errors import CorpusmillError
from training.instruct.budget import Account
from training.instruct.cache import AnswerCache
from training.instruct.requests import Answer, Generator, NotAsked, Request

REFUSALS = 20
"""So many, and not one answer: what is wrong is not the prompts."""


class NothingButRefusals(CorpusmillError):
    """The model refuses whatever it is asked."""


class Asker:
    """What methods ask through. Close it before the cache."""

    def __init__(self, generator: Generator, cache: AnswerCache, account: Account) -> None:
        self._generator = generator
        self._cache = cache
        self._account = account
        self._refusals = _Refusals(cache)
        self._asking: abc.Generator[Answer, None, None] | None = None

    def ask(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """The answers in order, `generator.concurrency` requests under way at a time; requests that
        are alike are asked once.

        Each answer is kept as soon as it is there. Raises, at the first request without an
        answer, BudgetSpent, NothingButRefusals or what the generator raises; those under way are
        waited for, so that what was paid for is kept.
        """
        self._asking = asking = self._answers(requests)
        try:
            yield from asking
        finally:
            # Whoever has heard enough lets go of this one alone.
            asking.close()

    def close(self) -> None:
        """Ask nothing more; return when what was under way is kept."""
        if self._asking is not None:
            self._asking.close()

    def _answers(self, requests: Sequence[Request]) -> abc.Generator[Answer, None, None]:
        stopped, turns = Event(), _Turns()
        with ThreadPool(max(1, min(self._generator.concurrency, len(requests)))) as threads:
            begun: dict[str, Callable[[], Answer]] = {}
            waiting = []
            for request in requests:
                key = request.key(self._generator.identity)
                if key not in begun:
                    arguments = (key, request, turns, len(begun), stopped)
                    begun[key] = threads.apply_async(self._one, arguments).get
                waiting.append(begun[key])
            threads.close()
            try:
                for answer in waiting:
                    yield answer()
            finally:
                stopped.set()
                turns.close()
                threads.join()

    def _one(self, key: str, request: Request, turns: _Turns, place: int, stopped: Event) -> Answer:
        with turns.of(place):
            known = self._cache.get(key)
            if known is not None:
                self._refusals.heard(known)
                return known
            promise = self._account.reserve(request)
        answer, kept = None, False
        try:
            if stopped.is_set():
                raise NotAsked("the run stops")
            answer = self._generator.answer(request, stopped)
            self._refusals.keep(key, answer)
            kept = True
        finally:
            self._account.settle(promise, answer)
            if not kept:
                turns.close()
        return answer


class _Turns:
    """Requests set money aside in their order, so that the same ones are answered out of a budget
    however many are under way."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._next = 0
        self._closed = False

    @contextmanager
    def of(self, place: int) -> Iterator[None]:
        """Wait for the turn of a request; the next one has it afterwards, unless this one failed.
        Raises NotAsked."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._next == place)
            if self._closed:
                raise NotAsked("an earlier request failed")
        done = False
        try:
            yield
            done = True
        finally:
            with self._changed:
                self._next += 1
                self._closed = self._closed or not done
                self._changed.notify_all()

    def close(self) -> None:
        """Nobody's turn comes any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Refusals:
    """Keeps answers, but refusals only when there was an answer, too: they are then about their
    prompts, and asking again is no use."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._lock = RLock()
        self._held: dict[str, Answer] = {}
        self._answered = False

    def heard(self, answer: Answer) -> None:
        """The model was asked before, and what it said."""
        if answer.finish_reason != "refused":
            self._let_go()

    def keep(self, key: str, answer: Answer) -> None:
        """Put an answer into the cache, now or later. Raises NothingButRefusals, OutputError."""
        self.heard(answer)
        with self._lock:
            if self._answered:
                self._cache.put(key, answer)
                return
            self._held[key] = answer
            if len(self._held) >= REFUSALS:
                raise NothingButRefusals(
                    f"the first {REFUSALS} requests were refused: {answer.detail}; see whether the "
                    "model's name, max_tokens and send_seed suit this server"
                )

    def _let_go(self) -> None:
        with self._lock:
            self._answered = True
            held, self._held = self._held, {}
            for key, answer in held.items():
                self._cache.put(key, answer)
