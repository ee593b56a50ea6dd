"""The client against a stub: what is tried again, what is an error, what is waited for."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event
from threading import Timer as ThreadTimer
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import UsageError
from tests.builders.chat_endpoint import Reply, serving
from training.instruct.config import ModelSource
from training.instruct.endpoint import Endpoint, EndpointError
from training.instruct.pace import Pace
from training.instruct.requests import Answer, NotAsked, Request

KEY = "sk-very-secret-0123456789"
REQUEST = Request("Name a river.", 7, 0.5, 0.9, 32)


class Timer:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, stopped: Event, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def client(url: str, timer: Timer | None = None, **keys: Any) -> Endpoint:
    timer = timer or Timer()
    source = ModelSource(endpoint=url, name="tiny", **keys)
    return Endpoint(
        source,
        environment={"STUB_KEY": KEY},
        clock=lambda: timer.now,
        sleep=timer.sleep,
        jitter=lambda: 0.0,
    )


def test_a_question_and_its_answer() -> None:
    with serving(lambda number, prompt: "The Elbe.") as stub:
        answer = client(stub.url, api_key_env="STUB_KEY").answer(REQUEST, Event())
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
        client(stub.url, send_seed=False).answer(REQUEST, Event())
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
            [1.0, 2.0],
        ),
        (Reply(status=429), [1.0, 2.0]),
        (Reply(status=429, headers=(("Retry-After", "nan"),)), [1.0, 2.0]),
        (Reply(status=429, headers=(("Retry-After", "-inf"),)), [1.0, 2.0]),
        (Reply(status=429, headers=(("Retry-After", "inf"),)), [1.0, 2.0]),
        (Reply(status=500, body=b"out of memory"), [1.0, 2.0]),
        (Reply(status=503, headers=(("Retry-After", "9999"),)), [120.0, 120.0]),
        (Reply(body=b"<html>"), [1.0, 2.0]),
        (Reply(body=b'{"choices": []}'), [1.0, 2.0]),
        (Reply(body=b'{"choices": [{"message": {"content": 5}}]}'), [1.0, 2.0]),
        (
            Reply(
                body=b'{"choices": [{"message": {"content": "a"}}], '
                b'"usage": {"prompt_tokens": Infinity}}'
            ),
            [1.0, 2.0],
        ),
        (Reply(body=b"no gzip", headers=(("Content-Encoding", "gzip"),)), [1.0, 2.0]),
    ],
    ids=[
        *("429-seconds", "429-date", "429", "429-nan", "429-negative", "429-ever"),
        *("500", "503-long", "html", "no-choice", "no-text", "no-number", "no-gzip"),
    ],
)
def test_what_may_pass_is_tried_again(reply: Reply, slept: list[float]) -> None:
    timer = Timer()
    with serving(failing(2, reply)) as stub:
        assert client(stub.url, timer).answer(REQUEST, Event()).text == "at last"
    assert timer.slept == slept
    assert len(stub.requests) == 3


def test_it_gives_up_after_the_attempts() -> None:
    with (
        serving(lambda number, prompt: Reply(status=500, body=b"a\nb")) as stub,
        pytest.raises(EndpointError, match=r"HTTP 500: a b \(2 attempts\); what was answered"),
    ):
        client(stub.url, attempts=2).answer(REQUEST, Event())
    assert len(stub.requests) == 2


def test_a_wrong_question_is_an_error_at_once_and_does_not_show_the_key() -> None:
    body = f'{{"error": "no such\\nmodel for {KEY}"}}'.encode()
    with serving(lambda number, prompt: Reply(status=404, body=body)) as stub:
        with pytest.raises(EndpointError, match="HTTP 404") as caught:
            client(stub.url, api_key_env="STUB_KEY").answer(REQUEST, Event())
        assert len(stub.requests) == 1
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_prompt_may_be_refused(status: int) -> None:
    body = f"policy\nof {KEY}".encode()
    with serving(lambda number, prompt: Reply(status=status, body=body)) as stub:
        answer = client(stub.url, api_key_env="STUB_KEY").answer(REQUEST, Event())
        assert len(stub.requests) == 1
    assert answer == Answer("", "refused", 0, 0, f"HTTP {status}: policy of ***")
    assert answer.unusable == "refused"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_who_may_not_ask_hears_it_at_once(status: int) -> None:
    with serving(lambda number, prompt: Reply(status=status, body=b" ")) as stub:
        with pytest.raises(EndpointError, match=f"HTTP {status}: no reason given"):
            client(stub.url).answer(REQUEST, Event())
        assert len(stub.requests) == 1


def test_a_time_out_and_nobody_there() -> None:
    answered = Event()

    def late(number: int, prompt: str) -> str:
        if number == 0:
            answered.wait(30)
        return "late"

    with serving(late) as stub:
        assert client(stub.url, timeout_seconds=0.2).answer(REQUEST, Event()).text == "late"
        answered.set()
    with pytest.raises(EndpointError, match="2 attempts"):
        client(stub.url, attempts=2).answer(REQUEST, Event())


def test_a_cut_answer_says_so() -> None:
    with serving(lambda number, prompt: Reply("The El", finish_reason="length")) as stub:
        assert client(stub.url).answer(REQUEST, Event()).finish_reason == "length"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        (None, "stop"),
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
        ("Tool Calls\n!", "tool_calls"),
    ],
)
def test_why_an_answer_ends(told: str | None, expected: str) -> None:
    choice = {"message": {"content": "The Elbe."}, "finish_reason": told}
    with serving(
        lambda number, prompt: Reply(body=json.dumps({"choices": [choice]}).encode())
    ) as s:
        answer = client(s.url).answer(REQUEST, Event())
    assert (answer.text, answer.finish_reason) == ("The Elbe.", expected)
    assert answer.unusable == (None if expected in ("stop", "length") else expected)


def test_half_a_character_is_asked() -> None:
    with serving(lambda number, prompt: "a") as stub:
        client(stub.url).answer(REQUEST._replace(prompt="a \ud800"), Event())
    assert stub.requests[0]["messages"][0]["content"] == "a \ud800"


def test_waiting_ends_when_the_run_stops() -> None:
    stopped = Event()

    def busy(number: int, prompt: str) -> Reply:
        soon.start()
        return Reply(status=429, headers=(("Retry-After", "100"),))

    soon = ThreadTimer(0.1, stopped.set)
    with serving(busy) as stub:
        endpoint = Endpoint(ModelSource(endpoint=stub.url, name="tiny"), environment={})
        with pytest.raises(NotAsked, match="stopped"):
            endpoint.answer(REQUEST, stopped)
        assert len(stub.requests) == 1
        with pytest.raises(NotAsked):
            endpoint.answer(REQUEST, stopped)
        assert len(stub.requests) == 1


def test_all_wait_when_the_endpoint_asks_for_it() -> None:
    timer = Timer()
    pace = Pace(None, None, clock=lambda: timer.now, sleep=timer.sleep, jitter=lambda: 0.5)
    pace.wait(1, Event())
    assert timer.slept == []
    pace.pause(20)
    pace.wait(1, Event())
    pace.wait(1, Event())
    assert timer.slept == [20.5]

    def pausing(stopped: Event, seconds: float) -> None:
        if len(timer.slept) == 1:
            spaced.pause(10)
        timer.sleep(stopped, seconds)

    spaced = Pace(30, None, clock=lambda: timer.now, sleep=pausing, jitter=lambda: 0.5)
    spaced.wait(1, Event())
    spaced.wait(1, Event())  # its turn lies before the pause's end
    assert timer.slept == [20.5, 2.0, 8.5]


def test_a_key_that_is_not_set_and_urls_with_secrets() -> None:
    with pytest.raises(UsageError, match="variable OTHER_KEY is not set"):
        client("http://localhost:1/v1", api_key_env="OTHER_KEY")
    with pytest.raises(UsageError, match="holds a character that no HTTP header can"):
        Endpoint(
            ModelSource(endpoint="http://localhost:1/v1", name="m", api_key_env="K"),
            environment={"K": "sk-ключ"},
        )
    for url in ("http://user:pass@host/v1", "https://host/v1?key=1", "host/v1"):
        with pytest.raises(ValidationError):
            ModelSource(endpoint=url, name="m")
    with pytest.raises(ValidationError, match=r"nobody to ask: set model.endpoint"):
        ModelSource()
    with pytest.raises(ValidationError, match=r"model.name is needed"):
        ModelSource(endpoint="http://localhost:1/v1")


def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://localhost:1")
    with pytest.raises(UsageError, match=r"model\.endpoint: http://example.org/v1 cannot be asked"):
        client("http://example.org/v1")


def test_pace_keeps_requests_and_tokens_a_minute() -> None:
    timer = Timer()
    pace = Pace(30, None, clock=lambda: timer.now, sleep=timer.sleep)
    for _ in range(3):
        pace.wait(1000, Event())
    assert timer.now == pytest.approx(4.0)
    timer = Timer()
    pace = Pace(6000, 600, clock=lambda: timer.now, sleep=timer.sleep)
    for tokens in (100, 50, 1):
        pace.wait(tokens, Event())
    assert timer.now == pytest.approx(15.0)
