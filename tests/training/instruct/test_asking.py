"""Requests out of a budget, from several threads."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from training.instruct.asking import Asker
from training.instruct.budget import Account, BudgetSpent
from training.instruct.cache import AnswerCache
from training.instruct.config import Budget, Prices
from training.instruct.requests import Answer, Request, estimated_tokens


class Scripted:
    """A Generator that answers with a function, after a moment."""

    identity: Mapping[str, str] = {"name": "scripted"}

    def __init__(self, concurrency: int, answer: Callable[[Request], Answer]) -> None:
        self.concurrency = concurrency
        self.asked: list[str] = []
        self._answer = answer

    def answer(self, request: Request, stopped: Event) -> Answer:
        self.asked.append(request.prompt)
        time.sleep(random.Random(request.prompt).random() / 100)
        return self._answer(request)

    def close(self) -> None:
        """Nothing."""


def short(request: Request) -> Answer:
    return Answer(request.prompt.upper(), "stop", 2, 3)


def requests(*prompts: str) -> list[Request]:
    return [Request(prompt, 0, 0.0, 1.0, 50) for prompt in prompts]


@pytest.mark.parametrize("limit", [{"max_requests": 9}, {"max_tokens": 100}], ids=str)
def test_a_budget_buys_as_much_whatever_the_concurrency(tmp_path: Path, limit: dict) -> None:
    bought = []
    for concurrency in (1, 4, 16):
        scripted = Scripted(concurrency, short)
        account = Account(Budget(**limit), Prices())
        found = []
        with closing(AnswerCache(tmp_path / f"{concurrency}.jsonl")) as cache:
            asker = Asker(scripted, cache, account)
            with pytest.raises(BudgetSpent, match=f"budget.{next(iter(limit))} .* is spent"):
                for answer in asker.ask(requests(*(f"prompt {n}" for n in range(40)))):
                    found.append(answer.text)
            asker.close()
            assert len(list(cache.answers())) == len(found)
        bought.append(found)
    assert bought[0] == bought[1] == bought[2]
    # A promise is 3 + 50 tokens, an answer 5: ten of those leave 50 of 100.
    assert len(bought[0]) == (9 if "max_requests" in limit else 10)


def test_like_requests_are_asked_once(tmp_path: Path) -> None:
    scripted = Scripted(8, short)
    with closing(AnswerCache(tmp_path / "a.jsonl")) as cache:
        asker = Asker(scripted, cache, Account(Budget(), Prices()))
        found = [answer.text for answer in asker.ask(requests("b", "a", "b", "b", "c"))]
    assert found == ["B", "A", "B", "B", "C"]
    assert sorted(scripted.asked) == ["a", "b", "c"]


def test_what_is_under_way_when_nobody_listens_is_kept(tmp_path: Path) -> None:
    """Whoever reads the answers may fail: what was paid for is kept all the same."""
    scripted = Scripted(4, short)
    account = Account(Budget(), Prices())
    with closing(AnswerCache(tmp_path / "a.jsonl")) as cache:
        asker = Asker(scripted, cache, account)
        answers = asker.ask(requests(*map(str, range(600))))
        assert next(answers).text == "0"
        asker.close()
        begun = len(scripted.asked)
        assert begun < 600
        assert account.summary()["requests"] == begun
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == begun


def test_who_has_heard_enough_pays_for_no_more(tmp_path: Path) -> None:
    scripted = Scripted(2, short)
    with closing(AnswerCache(tmp_path / "a.jsonl")) as cache:
        asker = Asker(scripted, cache, Account(Budget(), Prices()))
        for answer in asker.ask(requests(*map(str, range(600)))):
            assert answer.text == "0"
            break
        begun = len(scripted.asked)
        time.sleep(0.05)
        assert len(scripted.asked) == begun < 600
        assert len(list(cache.answers())) == begun


def test_refusals_of_a_short_run_are_asked_again(tmp_path: Path) -> None:
    def picky(request: Request) -> Answer:
        if "bad" in request.prompt:
            return Answer("", "refused", 0, 0, "HTTP 400: policy")
        return short(request)

    path = tmp_path / "a.jsonl"

    def ask(*prompts: str) -> list[str]:
        scripted = Scripted(1, picky)
        with closing(AnswerCache(path)) as cache:
            list(Asker(scripted, cache, Account(Budget(), Prices())).ask(requests(*prompts)))
        return scripted.asked

    assert ask("bad 1", "bad 2") == ["bad 1", "bad 2"]
    assert path.read_bytes() == b""
    assert ask("bad 1", "good", "bad 2") == ["bad 1", "good", "bad 2"]
    assert ask("bad 1", "good", "bad 2") == []
    assert ask("good", *(f"bad {n}" for n in range(30))) == [f"bad {n}" for n in (0, *range(3, 30))]


def test_tokens_are_estimated_by_bytes() -> None:
    assert estimated_tokens("abcdef") == 3
    assert estimated_tokens("漢字漢字") == 5
    assert estimated_tokens("\ud800") == 2
