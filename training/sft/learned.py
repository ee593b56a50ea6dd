"""What of a conversation is learned: which messages, how much fits, and why another is left out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from schemas.chat import Conversation, Message
from training.chat import ChatFormatter
from training.chat.formatter import TrainOn


class Rules(NamedTuple):
    """What becomes of a conversation."""

    sequence_length: int
    too_long: str
    empty_answers: str
    train_on: TrainOn


class Refusal(NamedTuple):
    """Why a conversation is not trained on."""

    reason: str
    """One of a few words, to be counted."""
    detail: str


class Encoded(NamedTuple):
    """A conversation that is trained on."""

    tokens: list[int]
    mask: list[bool]
    """Tokens that are targets."""
    trimmed: int
    """Messages that were left out at the front."""


def encode(conversation: Conversation, formatter: ChatFormatter, rules: Rules) -> Encoded | Refusal:
    """Tokens of a conversation, at most sequence_length + 1 (the last is a label only).

    What follows the last answer that is learned is left out: nothing in it is a target. Raises
    InputError where the template has no form for the conversation.
    """
    answers = _answers(conversation.messages, rules.train_on)
    if not answers:
        return Refusal("no_answer", "no message of an assistant to learn")
    for number in answers:
        message = conversation.messages[number]
        if not (message.content.strip() or message.tool_calls):
            return Refusal("empty_answer", f"messages[{number}].content: an empty answer")
    if rules.train_on != "all":
        conversation = _part(conversation, 0, answers[-1] + 1)
    longest = rules.sequence_length + 1
    found, trimmed = formatter.encode(conversation, train_on=rules.train_on), 0
    if len(found.tokens) > longest and rules.too_long == "trim":
        starts = _starts(conversation, answers[-1])
        # The further back it starts, the longer it is: the first start that fits is looked for.
        at = bisect_left(
            range(len(starts)),
            True,
            key=lambda n: _tokens(conversation, starts[n], formatter, rules) <= longest,
        )
        if at < len(starts):
            left = _part(conversation, starts[at])
            found = formatter.encode(left, train_on=rules.train_on)
            trimmed = len(conversation.messages) - len(left.messages)
    if len(found.tokens) > longest:
        return Refusal(
            "too_long",
            f"{len(found.tokens)} tokens, more than data.sequence_length "
            f"{rules.sequence_length} + 1",
        )
    if not any(found.mask[1:]):
        return Refusal("no_answer", "no token to learn")
    return Encoded(found.tokens, found.mask, trimmed)


def _answers(messages: Sequence[Message], train_on: TrainOn) -> list[int]:
    """Numbers of the messages that are learned."""
    said = [n for n, message in enumerate(messages) if message.role == "assistant"]
    if train_on == "last_answer":
        said = said[-1:]
    return [number for number in said if messages[number].train]


def _starts(conversation: Conversation, last_answer: int) -> list[int]:
    """Where an exchange begins, after the first, from the oldest to the last that is answered."""
    messages = conversation.messages
    first = 1 if messages[0].role == "system" else 0
    return [n for n in range(first + 1, last_answer) if messages[n].role == "user"]


def _part(conversation: Conversation, start: int, end: int | None = None) -> Conversation:
    """Messages from `start` on, with the system message."""
    messages = conversation.messages[start:end]
    if start and conversation.messages[0].role == "system":
        messages = (conversation.messages[0], *messages)
    return conversation.model_copy(update={"messages": messages})


def _tokens(conversation: Conversation, start: int, formatter: ChatFormatter, rules: Rules) -> int:
    return len(formatter.encode(_part(conversation, start), train_on=rules.train_on).tokens)
