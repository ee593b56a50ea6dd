"""What a method of making instructions is given, and what it must do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import xxhash

from training.instruct.asking import Asker
from training.instruct.config import GenerateConfig
from training.instruct.methods.thoughts import without_thoughts
from training.instruct.output import Output
from training.instruct.requests import Answer, Request


class Workshop:
    """Whom to ask and where to write. Random numbers depend on the seed and on what they are for,
    never on what was asked before."""

    def __init__(
        self,
        config: GenerateConfig,
        asker: Asker,
        output: Output,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.config = config
        self.output = output
        self.say = say
        self._asker = asker

    @property
    def done(self) -> bool:
        """Whether there are as many records as were asked for."""
        return self.output.kept >= self.config.count

    def random(self, *purpose: str | int) -> random.Random:
        """A generator of its own for each purpose."""
        return random.Random(self._number(*purpose))

    def request(self, prompt: str, *purpose: str | int, sure: bool = False) -> Request:
        """A request with a seed of its own; `sure`: the most probable answer, for decisions."""
        sampling = self.config.sampling
        return Request(
            prompt,
            self._number(*purpose) % 2**31,
            0.0 if sure else sampling.temperature,
            1.0 if sure else sampling.top_p,
            sampling.max_tokens,
        )

    def ask(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answers in the order of the requests, without thoughts; raises as Asker.ask."""
        for answer in self._asker.ask(requests):
            yield answer._replace(text=without_thoughts(answer.text))

    def refused(self, answer: Answer, **what: Any) -> bool:
        """Whether an answer is none, whatever was asked; it is then written down as rejected."""
        if answer.unusable is None:
            return False
        detail = answer.detail or answer.text
        self.output.reject(answer.unusable, **{**what, "detail": detail})
        return True

    def _number(self, *purpose: str | int) -> int:
        text = "\0".join(map(str, (self.config.seed, *purpose)))
        return xxhash.xxh3_64_intdigest(text.encode())


Run = Callable[[Workshop], str]
"""Write records until there are enough; returns how it ended: complete or exhausted. Raises what
asking raises."""


class Method(NamedTuple):
    """A way of making instructions."""

    prepare: Callable[[GenerateConfig], Run]
    """Read and check all that the method needs, before anything is written. Raises UsageError,
    InputError."""
    source: str
