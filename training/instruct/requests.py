"""What a model is asked, what it answers, and who can be asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from threading import Event
from typing import NamedTuple, Protocol

from schemas.errors import CorpusmillError

BYTES_A_TOKEN = 3
"""Of UTF-8, for estimates before an answer says how many tokens there were; English has about
four, scripts of three bytes a character about a character a token."""


class NotAsked(CorpusmillError):
    """A request that did not begin, or was not tried again, because the run stops."""


class Request(NamedTuple):
    """One user's message."""

    prompt: str
    seed: int
    """Requests that are alike but for it may get other answers."""
    temperature: float
    top_p: float
    max_tokens: int

    def key(self, identity: Mapping[str, str]) -> str:
        """32 hex digits that name the request to this generator, whoever asks and when."""
        content = json.dumps([sorted(identity.items()), *self], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    @property
    def estimated_prompt_tokens(self) -> int:
        """A rough upper bound."""
        return estimated_tokens(self.prompt)


def estimated_tokens(text: str) -> int:
    """By `BYTES_A_TOKEN`."""
    return len(text.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN + 1


class Answer(NamedTuple):
    """What came back."""

    text: str
    finish_reason: str
    """stop; length: cut at max_tokens; refused: there is none to this prompt; or what else the
    server calls it, such as content_filter."""
    prompt_tokens: int
    completion_tokens: int
    detail: str = ""
    """Of a refusal: what the server says, in one line."""

    @property
    def unusable(self) -> str | None:
        """The reason to reject it, whatever it was asked for; None for a text, cut or not."""
        return None if self.finish_reason in ("stop", "length") else self.finish_reason


class Generator(Protocol):
    """A model that answers: an endpoint, or one of our own."""

    identity: Mapping[str, str]
    """What of it decides its answers."""
    concurrency: int
    """Requests that may be under way."""

    def answer(self, request: Request, stopped: Event) -> Answer:
        """Waits for nothing more once `stopped` is set. Raises CorpusmillError when there is no
        answer to be had, NotAsked when it stopped."""

    def close(self) -> None:
        """Nothing more will be asked."""
