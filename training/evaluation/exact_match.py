"""Share of conversations whose last answer a model gives word for word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from model.decoder import Decoder
from schemas.chat import Conversation, Message
from schemas.errors import InputError
from training.evaluation.answers import greedy_answers
from training.tokenizers import Tokenizer


class Formatter(Protocol):
    """What is needed of a `training.chat.formatter.ChatFormatter`."""

    tokenizer: Tokenizer
    stop_ids: frozenset[int]
    """Tokens that end an answer."""

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> list[int]:
        """Tokens of these messages and of the beginning of an assistant's turn."""


class Question(NamedTuple):
    """What a model is asked, and what it should say."""

    text: str
    """Of the message before the answer."""
    prompt: list[int]
    expected: str
    """Stripped."""


class ExactMatch(NamedTuple):
    """How often the answer was the expected one."""

    correct: int
    total: int
    rows: list[dict[str, str]]
    """`prompt` (the message that was answered), `answer`, `expected` of each conversation."""

    @property
    def share(self) -> float:
        """Of right answers; 0 without a conversation."""
        return self.correct / self.total if self.total else 0.0


def questions(
    formatter: Formatter, conversations: Iterable[Conversation], longest: int
) -> list[Question]:
    """The messages before the last assistant's message of each, which is what is expected.

    Raises InputError, with the number of the conversation from 1, where none answers with text,
    where the template has no form for it, and where the prompt has more than `longest` tokens.
    """
    found = []
    for number, conversation in enumerate(conversations, start=1):
        messages = conversation.messages
        last = max((at for at, m in enumerate(messages) if m.role == "assistant"), default=0)
        expected = messages[last].content.strip()
        if not last or not expected:
            raise InputError(
                f"conversation {number}: messages: no assistant answers with text at the end, "
                "and there is nothing to compare with: leave the record out"
            )
        try:
            prompt = formatter.prompt(messages[:last], conversation.tools)
        except InputError as error:
            raise InputError(f"conversation {number}: {error}") from error
        if len(prompt) > longest:
            raise InputError(
                f"conversation {number}: messages: {len(prompt)} tokens before the answer, and the "
                f"model has room for {longest}: leave the record out, or ask for fewer new tokens"
            )
        found.append(Question(messages[last - 1].content, prompt, expected))
    return found


def exact_match(
    decoder: Decoder,
    formatter: Formatter,
    conversations: Iterable[Conversation],
    *,
    max_new_tokens: int,
    batch_size: int = 32,
) -> ExactMatch:
    """Answer the last turn of each conversation greedily and compare the stripped texts.

    The decoder is left in the mode it was in. Raises InputError as `questions`.
    """
    longest = decoder.longest - max_new_tokens
    asked = questions(formatter, conversations, longest)
    answers = greedy_answers(
        decoder,
        formatter.tokenizer,
        [question.prompt for question in asked],
        max_new_tokens=max_new_tokens,
        stop_ids=formatter.stop_ids,
        batch_size=batch_size,
    )
    rows = [
        {"prompt": question.text, "answer": answer.strip(), "expected": question.expected}
        for question, answer in zip(asked, answers, strict=True)
    ]
    correct = sum(row["answer"] == row["expected"] for row in rows)
    return ExactMatch(correct, len(rows), rows)
