"""What a model is asked, what it answers, and who can be asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

CHARACTERS_A_TOKEN = 3
"""For estimates before an answer says how many tokens there were; English has about four."""


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
        """A rough upper bound for text in Latin script."""
        return len(self.prompt) // CHARACTERS_A_TOKEN + 1


class Answer(NamedTuple):
    """What came back."""

    text: str
    finish_reason: Literal["stop", "length"]
    """length: cut at max_tokens."""
    prompt_tokens: int
    completion_tokens: int


class Generator(Protocol):
    """A model that answers: an endpoint, or one of our own."""

    identity: Mapping[str, str]
    """What of it decides its answers."""
    concurrency: int
    """Requests that may be under way."""

    def answer(self, request: Request) -> Answer:
        """Raises CorpusmillError when there is no answer to be had."""

    def close(self) -> None:
        """Nothing more will be asked."""
