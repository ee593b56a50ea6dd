"""What answers cost, and the end of the money."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Condition
from typing import Any

from schemas.errors import CorpusmillError
from training.instruct.config import Budget, Prices
from training.instruct.requests import Answer, Request


class BudgetSpent(CorpusmillError):
    """The next request could go beyond the budget; what was answered is kept."""


class Account:
    """Requests, tokens and cost of a run, those of earlier sittings included."""

    def __init__(self, budget: Budget, prices: Prices, before: Iterable[Answer] = ()) -> None:
        self._budget = budget
        self._prices = prices
        self._settled = Condition()
        self._requests = self._prompt_tokens = self._completion_tokens = 0
        self._promised: list[tuple[int, int]] = []
        for answer in before:
            self._count(answer)
        self.requests_before = self._requests

    def reserve(self, request: Request) -> tuple[int, int]:
        """Set the most aside that a request may take, until `settle`; where that is too much, wait
        for what others leave of theirs. Raises BudgetSpent when there are no others."""
        promise = request.estimated_prompt_tokens, request.max_tokens
        with self._settled:
            while (beyond := self._beyond(promise)) is not None:
                if not self._promised:
                    raise BudgetSpent(
                        f"{beyond} is spent ({self._requests} requests answered); "
                        "raise it and give the same command to go on"
                    )
                self._settled.wait()
            self._promised.append(promise)
        return promise

    def settle(self, promise: tuple[int, int], answer: Answer | None) -> None:
        """Count the answer instead of what was set aside for it; None: there was none."""
        with self._settled:
            self._promised.remove(promise)
            if answer is not None:
                self._count(answer)
            self._settled.notify_all()

    def summary(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "requests": self._requests,
            "requests_of_this_sitting": self._requests - self.requests_before,
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": self._completion_tokens,
            "cost": round(self._cost(self._prompt_tokens, self._completion_tokens), 6),
        }

    def _beyond(self, promise: tuple[int, int]) -> str | None:
        """The limit that one more promise would go beyond."""
        waiting = [*self._promised, promise]
        prompt = self._prompt_tokens + sum(tokens for tokens, _ in waiting)
        completion = self._completion_tokens + sum(tokens for _, tokens in waiting)
        for name, limit, needed in (
            ("max_requests", self._budget.max_requests, self._requests + len(waiting)),
            ("max_tokens", self._budget.max_tokens, prompt + completion),
            ("max_cost", self._budget.max_cost, self._cost(prompt, completion)),
        ):
            if limit is not None and needed > limit:
                return f"budget.{name} {limit:g}"
        return None

    def _count(self, answer: Answer) -> None:
        self._requests += 1
        self._prompt_tokens += answer.prompt_tokens
        self._completion_tokens += answer.completion_tokens

    def _cost(self, prompt: int, completion: int) -> float:
        prices = self._prices
        return (prompt * prices.prompt + completion * prices.completion) / 1e6
