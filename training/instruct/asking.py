"""Requests through the cache, the budget and the threads; answers in the order of the requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from threading import Event

from schemas.errors import CorpusmillError
from training.instruct.budget import Account
from training.instruct.cache import AnswerCache
from training.instruct.requests import Answer, Generator, Request


class NotAsked(CorpusmillError):
    """A request that did not begin, because one before it failed."""


class Asker:
    """What methods ask through."""

    def __init__(self, generator: Generator, cache: AnswerCache, account: Account) -> None:
        self._generator = generator
        self._cache = cache
        self._account = account

    def ask(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """The answers in order, `generator.concurrency` requests under way at a time.

        Each answer is kept as soon as it is there. Raises, at the first request without an
        answer, BudgetSpent or what the generator raises; those under way are waited for, so that
        what was paid for is kept.
        """
        stopped = Event()
        with ThreadPool(max(1, min(self._generator.concurrency, len(requests)))) as threads:
            waiting: list[Callable[[], Answer]] = [
                threads.apply_async(self._one, (request, stopped)).get for request in requests
            ]
            threads.close()
            try:
                for answer in waiting:
                    yield answer()
            finally:
                stopped.set()
                threads.join()

    def _one(self, request: Request, stopped: Event) -> Answer:
        if stopped.is_set():
            raise NotAsked("an earlier request failed")
        key = request.key(self._generator.identity)
        known = self._cache.get(key)
        if known is not None:
            return known
        promise = self._account.reserve(request)
        answer: Answer | None = None
        try:
            answer = self._generator.answer(request)
            self._cache.put(key, answer)
        finally:
            self._account.settle(promise, answer)
        return answer
