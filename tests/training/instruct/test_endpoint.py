"""The client against a stub: what is tried again, what is an error, what is waited for."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import UsageError
from tests.builders.chat_endpoint import Reply, serving
from training.instruct.config import ModelSource
from training.instruct.endpoint import Endpoint, EndpointError
from training.instruct.pace import Pace
from training.instruct.requests import Answer, Request

KEY = "sk-very-secret-0123456789"
REQUEST = Request("Name a river.", 7, 0.5, 0.9, 32)


class Timer:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def client(url: str, timer: Timer | None = None, **keys: Any) -> Endpoint:
    timer = timer or Timer()
    source = ModelSource(endpoint=url, name="tiny", **keys)
    return Endpoint(
        source, environment={"STUB_KEY": KEY}, clock=lambda: timer.now, sleep=timer.sleep
    )


def test_a_question_and_its_answer() -> None:
    with serving(lambda number, prompt: "The Elbe.") as stub:
        answer = client(stub.url, api_key_env="STUB_KEY").answer(REQUEST)
    assert answer == Answer("The Elbe.", "stop", 10, 5)
    assert stub.requests == [
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "Name a river."}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 32,
            "seed": 7,
        }
    ]
    assert stub.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_without_a_key_and_a_seed() -> None:
    with serving(lambda number, prompt: "a") as stub:
        client(stub.url, send_seed=False).answer(REQUEST)
    assert "Authorization" not in stub.headers[0]
    assert "seed" not in stub.requests[0]


def failing(times: int, reply: Reply) -> Callable[[int, str], Reply | str]:
    return lambda number, prompt: reply if number < times else "at last"


@pytest.mark.parametrize(
    ("reply", "slept"),
    [
        (Reply(status=429, headers=(("Retry-After", "17"),)), [17.0, 17.0]),
        (
            Reply(status=429, headers=(("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),)),
            [0.0, 0.0],
        ),
        (Reply(status=429), [1.0, 2.0]),
        (Reply(status=500, body=b"out of memory"), [1.0, 2.0]),
        (Reply(status=503, headers=(("Retry-After", "9999"),)), [120.0, 120.0]),
        (Reply(body=b"<html>"), [1.0, 2.0]),
        (Reply(body=b'{"choices": []}'), [1.0, 2.0]),
        (Reply(body=b'{"choices": [{"message": {"content": 5}}]}'), [1.0, 2.0]),
    ],
    ids=["429-seconds", "429-date", "429", "500", "503-long", "html", "no-choice", "no-text"],
)
def test_what_may_pass_is_tried_again(reply: Reply, slept: list[float]) -> None:
    timer = Timer()
    with serving(failing(2, reply)) as stub:
        assert client(stub.url, timer).answer(REQUEST).text == "at last"
    assert timer.slept == slept
    assert len(stub.requests) == 3


def test_it_gives_up_after_the_attempts() -> None:
    with (
        serving(lambda number, prompt: Reply(status=500, body=b"a\nb")) as stub,
        pytest.raises(EndpointError, match=r"HTTP 500: a b \(2 attempts\); what was answered"),
    ):
        client(stub.url, attempts=2).answer(REQUEST)
    assert len(stub.requests) == 2


def test_a_wrong_question_is_an_error_at_once_and_does_not_show_the_key() -> None:
    body = f'{{"error": "no such\\nmodel for {KEY}"}}'.encode()
    with serving(lambda number, prompt: Reply(status=404, body=body)) as stub:
        with pytest.raises(EndpointError, match="HTTP 404") as caught:
            client(stub.url, api_key_env="STUB_KEY").answer(REQUEST)
        assert len(stub.requests) == 1
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_time_out_and_nobody_there() -> None:
    answered = Event()

    def late(number: int, prompt: str) -> str:
        if number == 0:
            answered.wait(30)
        return "late"

    with serving(late) as stub:
        assert client(stub.url, timeout_seconds=0.2).answer(REQUEST).text == "late"
        answered.set()
    with pytest.raises(EndpointError, match="2 attempts"):
        client(stub.url, attempts=2).answer(REQUEST)


def test_a_cut_answer_says_so() -> None:
    with serving(lambda number, prompt: Reply("The El", finish_reason="length")) as stub:
        assert client(stub.url).answer(REQUEST).finish_reason == "length"


def test_a_key_that_is_not_set_and_urls_with_secrets() -> None:
    with pytest.raises(UsageError, match="variable OTHER_KEY is not set"):
        client("http://localhost:1/v1", api_key_env="OTHER_KEY")
    for url in ("http://user:pass@host/v1", "https://host/v1?key=1", "host/v1"):
        with pytest.raises(ValidationError):
            ModelSource(endpoint=url, name="m")
    with pytest.raises(ValidationError, match=r"nobody to ask: set model.endpoint"):
        ModelSource()
    with pytest.raises(ValidationError, match=r"model.name is needed"):
        ModelSource(endpoint="http://localhost:1/v1")


def test_pace_keeps_requests_and_tokens_a_minute() -> None:
    timer = Timer()
    pace = Pace(30, None, clock=lambda: timer.now, sleep=timer.sleep)
    for _ in range(3):
        pace.wait(1000)
    assert timer.now == pytest.approx(4.0)
    timer = Timer()
    pace = Pace(6000, 600, clock=lambda: timer.now, sleep=timer.sleep)
    for tokens in (100, 50, 1):
        pace.wait(tokens)
    assert timer.now == pytest.approx(15.0)
