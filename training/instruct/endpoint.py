"""An OpenAI-compatible endpoint: POST BASE/chat/completions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from schemas.errors import CorpusmillError, UsageError
from training.instruct.config import ModelSource
from training.instruct.pace import Pace
from training.instruct.requests import Answer, Request

_LONGEST_WAIT = 120.0
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_SHOWN = 300


class EndpointError(CorpusmillError):
    """The endpoint gives no answer."""


class _Again(Exception):
    """A failure that may pass."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after
        """Seconds that the endpoint asks to wait."""


class Endpoint:
    """A Generator. 429, 5xx, time-outs and broken answers are tried again, after Retry-After or
    1, 2, 4, ... seconds; any other 4xx is an error at once."""

    def __init__(
        self,
        source: ModelSource,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises UsageError where the variable that should hold the key is not set."""
        assert source.endpoint is not None
        assert source.name is not None
        self.concurrency = source.concurrency
        self.identity: Mapping[str, str] = {"endpoint": source.endpoint, "name": source.name}
        self._source = source
        self._key = _key(source, environment)
        self._sleep = sleep
        self._pace = Pace(
            source.requests_per_minute, source.tokens_per_minute, clock=clock, sleep=sleep
        )
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        # A proxy of the environment is for the world outside.
        outside = urlsplit(source.endpoint).hostname not in _HERE
        self._client = httpx.Client(
            headers=headers, timeout=source.timeout_seconds, trust_env=outside
        )

    def answer(self, request: Request) -> Answer:
        """Raises EndpointError, in one line, when there is none."""
        retrying = Retrying(
            stop=stop_after_attempt(self._source.attempts),
            wait=_wait,
            retry=retry_if_exception_type(_Again),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._ask, request)
        except _Again as failure:
            raise EndpointError(
                f"{self._source.endpoint}: {failure} ({self._source.attempts} attempts); "
                "what was answered is kept: give the same command to go on"
            ) from failure

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _ask(self, request: Request) -> Answer:
        self._pace.wait(request.estimated_prompt_tokens + request.max_tokens)
        try:
            response = self._client.post(
                f"{self._source.endpoint}/chat/completions", json=self._body(request)
            )
        except httpx.TimeoutException:
            raise _Again(f"no answer in {self._source.timeout_seconds:g} seconds") from None
        except httpx.TransportError as error:
            raise _Again(self._safe(str(error) or type(error).__name__)) from None
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
            raise _Again(
                f"HTTP {response.status_code}: {self._safe(response.text)}", _after(response)
            )
        if not response.is_success:
            raise EndpointError(
                f"{self._source.endpoint}: HTTP {response.status_code}: "
                f"{self._safe(response.text) or 'no reason given'}"
            )
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


def _key(source: ModelSource, environment: Mapping[str, str]) -> str:
    if source.api_key_env is None:
        return ""
    key = environment.get(source.api_key_env, "").strip()
    if not key:
        raise UsageError(
            f"model.api_key_env: the environment variable {source.api_key_env} is not set"
        )
    return key


def _wait(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome is not None else None
    asked = failure.after if isinstance(failure, _Again) else None
    seconds = asked if asked is not None else 2.0 ** (state.attempt_number - 1)
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _after(response: httpx.Response) -> float | None:
    """Retry-After: seconds or a date (RFC 9110, section 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None


def _parse(response: httpx.Response, request: Request) -> Answer:
    try:
        content = response.json()
        choice = content["choices"][0]
        text = choice["message"]["content"] or ""
        usage = content.get("usage") or {}
        prompt = int(usage.get("prompt_tokens") or request.estimated_prompt_tokens)
        completion = int(usage.get("completion_tokens") or len(text) // 3 + 1)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _Again("the answer is no chat completion in JSON") from None
    if not isinstance(text, str):
        raise _Again("the answer is no chat completion in JSON")
    cut = choice.get("finish_reason") == "length"
    return Answer(text, "length" if cut else "stop", prompt, completion)
