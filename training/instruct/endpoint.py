"""An OpenAI-compatible endpoint: POST BASE/chat/completions."""

from __future__ import annotations

import json
import math
import os
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_any,
    stop_when_event_set,
)

from schemas.errors import CorpusmillError, UsageError
from training.instruct.config import ModelSource
from training.instruct.pace import Pace, Sleep
from training.instruct.requests import Answer, NotAsked, Request, estimated_tokens

_LONGEST_WAIT = 120.0
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_SHOWN = 300
_REFUSED = frozenset({400, 413, 422})
"""Bad request, content too large, unprocessable: of this prompt (RFC 9110, section 15.5)."""
_STOP: tuple[str | None, ...] = (None, "", "stop", "eos_token", "stop_sequence", "end_turn")
_FINISHED = dict.fromkeys(_STOP, "stop") | dict.fromkeys(("length", "max_tokens"), "length")
"""Finish reasons of servers that call an end and a cut otherwise than OpenAI's."""


class EndpointError(CorpusmillError):
    """The endpoint gives no answer."""


class _Again(Exception):
    """A failure that may pass."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after
        """Seconds that the endpoint asks to wait."""


class Endpoint:
    """A Generator. 429, 5xx, time-outs and broken answers are tried again, after Retry-After, which
    all threads wait for, or 1, 2, 4, ... seconds and up to a quarter more; 400, 413 and 422 are
    refusals of a prompt; any other 4xx is an error at once."""

    def __init__(
        self,
        source: ModelSource,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = Event.wait,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Raises UsageError where the variable that should hold the key is not set, and for an
        endpoint, a key or a proxy that HTTP has no way to express."""
        assert source.endpoint is not None
        assert source.name is not None
        self.concurrency = source.concurrency
        self.identity: Mapping[str, str] = {"endpoint": source.endpoint, "name": source.name}
        self._source = source
        self._key = _key(source, environment)
        self._sleep = sleep
        self._jitter = jitter
        self._pace = Pace(
            source.requests_per_minute,
            source.tokens_per_minute,
            clock=clock,
            sleep=sleep,
            jitter=jitter,
        )
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        # A proxy of the environment is for the world outside.
        outside = urlsplit(source.endpoint).hostname not in _HERE
        try:
            self._url = httpx.URL(f"{source.endpoint}/chat/completions")
            self._client = httpx.Client(
                headers=headers, timeout=source.timeout_seconds, trust_env=outside
            )
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            raise UsageError(
                f"model.endpoint: {source.endpoint} cannot be asked: {self._safe(str(error))}; see "
                "the URL, and HTTP_PROXY and the like of the environment"
            ) from error

    def answer(self, request: Request, stopped: Event) -> Answer:
        """Raises EndpointError, in one line, when there is none, NotAsked once `stopped` is set."""

        def sleep(seconds: float) -> None:
            self._sleep(stopped, seconds)

        retrying = Retrying(
            stop=stop_any(stop_after_attempt(self._source.attempts), stop_when_event_set(stopped)),
            wait=self._seconds_until_again,
            retry=retry_if_exception_type(_Again),
            sleep=sleep,
            reraise=True,
        )
        try:
            return retrying(self._ask, request, stopped)
        except _Again as failure:
            if stopped.is_set():
                raise NotAsked(f"stopped after {failure}") from failure
            raise EndpointError(
                f"{self._source.endpoint}: {failure} ({self._source.attempts} attempts); "
                "what was answered is kept: give the same command to go on"
            ) from failure

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _ask(self, request: Request, stopped: Event) -> Answer:
        self._pace.wait(request.estimated_prompt_tokens + request.max_tokens, stopped)
        if stopped.is_set():
            raise NotAsked("stopped")
        try:
            response = self._client.post(
                self._url,
                # ASCII: a lone surrogate has no UTF-8.
                content=json.dumps(self._body(request)).encode(),
                headers={"Content-Type": "application/json"},
            )
        except httpx.TimeoutException:
            raise _Again(f"no answer in {self._source.timeout_seconds:g} seconds") from None
        except httpx.RequestError as error:
            raise _Again(self._safe(str(error) or type(error).__name__)) from None
        said = f"HTTP {response.status_code}: {self._safe(response.text) or 'no reason given'}"
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
            after = _after(response)
            if after is not None:
                self._pace.pause(after)
            raise _Again(said, after)
        if response.status_code in _REFUSED:
            return Answer("", "refused", 0, 0, said)
        if not response.is_success:
            raise EndpointError(f"{self._source.endpoint}: {said}")
        return _parse(response, request)

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._source.name,
            "messages": [{"role": "user", "content": request.prompt}],
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
        }
        if self._source.send_seed:
            body["seed"] = request.seed
        return body

    def _safe(self, text: str) -> str:
        """One line of what came back, without the key, which some servers repeat."""
        line = " ".join(text.split())
        return (line.replace(self._key, "***") if self._key else line)[:_SHOWN]

    def _seconds_until_again(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome is not None else None
        asked = failure.after if isinstance(failure, _Again) else None
        if asked is not None:
            return asked
        return min(2.0 ** (state.attempt_number - 1) * (1 + self._jitter() / 4), _LONGEST_WAIT)


def _key(source: ModelSource, environment: Mapping[str, str]) -> str:
    if source.api_key_env is None:
        return ""
    key = environment.get(source.api_key_env, "").strip()
    if not key:
        raise UsageError(
            f"model.api_key_env: the environment variable {source.api_key_env} is not set"
        )
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            f"model.api_key_env: {source.api_key_env} holds a character that no HTTP header can"
        )
    return key


def _after(response: httpx.Response) -> float | None:
    """Retry-After: seconds or a date (RFC 9110, section 10.2.3), at most `_LONGEST_WAIT`. None
    where there is none, or nothing to wait for."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(seconds, _LONGEST_WAIT) if math.isfinite(seconds) and seconds > 0 else None


def _parse(response: httpx.Response, request: Request) -> Answer:
    try:
        content = response.json()
        choice = content["choices"][0]
        text = choice["message"]["content"] or ""
        usage = content.get("usage") or {}
        prompt = int(usage.get("prompt_tokens") or request.estimated_prompt_tokens)
        completion = int(usage.get("completion_tokens") or estimated_tokens(text))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError):
        raise _Again("the answer is no chat completion in JSON") from None
    if not isinstance(text, str):
        raise _Again("the answer is no chat completion in JSON")
    return Answer(text, _finish_reason(choice.get("finish_reason")), prompt, completion)


def _finish_reason(told: Any) -> str:
    """As `Answer` has it; a word of the server's own becomes a reason to reject."""
    if told is None or isinstance(told, str):
        known = _FINISHED.get(told)
        if known is not None:
            return known
    word = re.sub(r"\W+", "_", str(told)[:40]).strip("_").lower()
    return word or "unknown_finish"
