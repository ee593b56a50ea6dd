"""From what is given (operations, GPUs and days, tokens, parameters) to what it buys."""

from __future__ import annotations

from typing import NamedTuple

from schemas.errors import UsageError
from training.sizing.scaling_laws import (
    EXPECTED,
    FEW_EPOCHS,
    LAWS,
    OPERATIONS,
    RULES,
    Optimum,
    effective_tokens,
)

DAY = 86_400.0


class Given(NamedTuple):
    """What the user fixes; None: to be found."""

    flops: float | None = None
    tokens: float | None = None
    parameters: float | None = None
    unique_tokens: float | None = None
    """Of the data, in one pass."""


class Choice(NamedTuple):
    """One answer: a rule, what it recommends, and what to expect of it."""

    rule: str
    parameters: float
    tokens: float
    expected_loss: float
    """By `EXPECTED`, of as many tokens as the repeated ones are worth."""
    epochs: float | None
    """Passes over the data; None where its size is not known."""
    effective_tokens: float


def choices(given: Given) -> list[Choice]:
    """With one of flops, tokens, parameters: the optimum by each rule. With two: the third follows.

    The size of the data alone stands for tokens. Raises UsageError for nothing, and for three.
    """
    known = {
        name: value
        for name in ("flops", "tokens", "parameters")
        if (value := getattr(given, name)) is not None
    }
    if not known and given.unique_tokens is not None:
        known["tokens"] = given.unique_tokens
    if not known:
        raise UsageError(
            "nothing to plan from: give a CONFIG, --flops, --gpus with --days, --tokens, "
            "--params or --manifest"
        )
    if len(known) == 3:
        raise UsageError(
            "operations, tokens and parameters are all given: leave one out, it follows from the "
            "others"
        )
    if len(known) == 2:
        return [_choice("as given", _third(**known), given.unique_tokens)]
    (name, value), *_ = known.items()
    return [
        _choice(rule, getattr(law, f"of_{name}")(value), given.unique_tokens)
        for rule, law in RULES.items()
    ]


def _third(
    flops: float | None = None, tokens: float | None = None, parameters: float | None = None
) -> Optimum:
    if tokens is None:
        assert flops is not None
        assert parameters is not None
        return Optimum(parameters, flops / (OPERATIONS * parameters))
    if parameters is None:
        assert flops is not None
        return Optimum(flops / (OPERATIONS * tokens), tokens)
    return Optimum(parameters, tokens)


def _choice(rule: str, optimum: Optimum, unique: float | None) -> Choice:
    worth = optimum.tokens if unique is None else effective_tokens(optimum.tokens, unique)
    return Choice(
        rule,
        optimum.parameters,
        optimum.tokens,
        LAWS[EXPECTED].loss(optimum.parameters, worth),
        None if unique is None else optimum.tokens / unique,
        worth,
    )


def note_on_data(choice: Choice) -> str | None:
    """What the size of the data means for a choice, in one line; None if nothing."""
    if choice.epochs is None or choice.epochs <= 1:
        return None
    worth = choice.effective_tokens / choice.tokens
    line = f"{choice.rule}: {choice.epochs:.1f} passes over the data, worth {worth:.0%} of new text"
    if choice.epochs <= FEW_EPOCHS:
        return f"{line} (up to {FEW_EPOCHS:.0f} cost little, arXiv 2305.16264)"
    return f"{line}; beyond {FEW_EPOCHS:.0f} take more data or a smaller run (arXiv 2305.16264)"


def flops_of(gpus: int, days: float, peak: float, mfu: float) -> float:
    """What so many devices compute in so many days."""
    return gpus * days * DAY * peak * mfu


def days_of(flops: float, gpus: int, peak: float, mfu: float) -> float:
    """How long so many devices need."""
    return flops / (gpus * peak * mfu * DAY)


def number(text: str, option: str) -> float:
    """A positive number as people write it: 3e21, 7B, 1.4T, 300M. Raises UsageError."""
    factors = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
    cleaned = text.strip().lower().replace("_", "").replace(",", "")
    factor = factors.get(cleaned[-1:], 1.0)
    try:
        value = float(cleaned.rstrip("kmbgt")) * factor
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{option} {text!r}: a number above 0 such as 3e21, 7B or 1.4T is needed")
    return value
