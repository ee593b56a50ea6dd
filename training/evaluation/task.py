"""What every task takes and gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from schemas.errors import UsageError
from training.evaluation.subject import Subject

Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % point."""


@dataclass(frozen=True)
class Options:
    """What a call may ask for; each task uses what concerns it."""

    data: Path | None = None
    limit: int | None = None
    """Records, or documents, at most."""
    batch_size: int = 32
    shots: int | None = None
    """Worked examples in front of a question."""
    examples: Path | None = None
    """Where they are taken from: its first records."""
    max_new_tokens: int | None = None
    """Of an answer; default: 256, or half of the model's window where that is less."""
    window: int | None = None
    """Tokens of context at most; default: the model's max_seq_len."""
    stride: int | None = None
    """Tokens from one window to the next; default: half a window."""
    split: str = "validation"
    """Of a manifest."""
    include: Path | None = None
    """A folder of lm-eval's task files."""
    format: str = "messages"
    """Of chat records."""
    template: str | None = None
    """For conversations; default: the model's own."""
    chat: bool | None = None
    """Whether questions are put as a user's turn of a conversation; default: gsm8k does where there
    is a template, lm-eval's tasks do not."""
    lengths: tuple[int, ...] = ()
    """Of pass key texts, in tokens; default: all of the model's window."""
    depths: int = 5
    trials: int = 4
    """Texts for each length and depth."""
    digits: int = 5
    seed: int = 1

    def answer_tokens(self, subject: Subject) -> int:
        """Tokens that an answer may have. Raises UsageError where the model has no room for as
        many."""
        if self.max_new_tokens is not None:
            if self.max_new_tokens >= subject.decoder.longest:
                raise UsageError(
                    f"--max-new-tokens {self.max_new_tokens}: the model has room for "
                    f"{subject.decoder.longest} tokens, the question's among them"
                )
            return self.max_new_tokens
        return min(256, max(1, subject.decoder.longest // 2))

    def needs_data(self, what: str) -> Path:
        """The data file. Raises UsageError where none was named."""
        if self.data is None:
            raise UsageError(f"--data is missing: {what}")
        return self.data


@dataclass(frozen=True)
class Figure:
    """One number of a result."""

    name: str
    value: float
    group: str = ""
    """What it is of, where it is not of everything: a source, a length and depth."""
    low: float | None = None
    high: float | None = None
    """Of the 95 % interval."""
    count: int = 0
    """Of what it is an average."""


@dataclass(frozen=True)
class Result:
    """What a task found."""

    figures: list[Figure]
    items: int
    settings: dict[str, Any] = field(default_factory=dict)
    """What the figures depend on."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """One for each item."""

    def value(self, name: str, group: str = "") -> float:
        """One figure. Raises KeyError."""
        for figure in self.figures:
            if (figure.name, figure.group) == (name, group):
                return figure.value
        raise KeyError(name)


class Task(NamedTuple):
    """A kind of evaluation."""

    about: str
    """One line for the help."""
    run: Callable[[Subject, Options], Result]
    reads_data: bool = True
    """Whether it needs a file."""


def share(name: str, right: int, total: int, group: str = "") -> Figure:
    """An accuracy with Wilson's score interval of 95 % (Wilson 1927, JASA 22:209-212), which stays
    within 0 and 1 and says something of no error in few trials."""
    low, high = wilson(right, total)
    return Figure(name, right / total if total else 0.0, group, low, high, total)


def wilson(right: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """The interval of shares p with |p - right/total| <= z sqrt(p (1 - p) / total)."""
    if not total:
        return 0.0, 1.0
    p = right / total
    middle = p + z * z / (2 * total)
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
