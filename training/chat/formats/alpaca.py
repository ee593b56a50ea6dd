"""Alpaca: an instruction, perhaps with an input, and its output.

https://github.com/tatsu-lab/stanford_alpaca (the fields; their frame of words around them is
another matter, and a template's) and LLaMA-Factory's data/README.md (`system`, `history`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.chat import Conversation, Message
from training.chat.formats.fields import (
    FieldError,
    conversation,
    optional_text,
    required,
    sequence,
    text,
)


def read(row: Mapping[str, Any]) -> Conversation:
    """A conversation: `system`, pairs of `history`, then the instruction with a blank line and the
    input under it, and the output. Raises FieldError."""
    instruction = text(required(row, "instruction"), "instruction")
    given = optional_text(row, "input")
    asked = "\n\n".join(part for part in (instruction, given) if part)
    if not asked:
        raise FieldError("instruction", "is empty, and so is input")
    system = optional_text(row, "system")
    messages = [Message(role="system", content=system)] if system else []
    for number, pair in enumerate(sequence(row.get("history") or [], "history")):
        messages += _turns(pair, f"history[{number}]")
    messages += [
        Message(role="user", content=asked),
        Message(role="assistant", content=text(required(row, "output"), "output")),
    ]
    return conversation(messages, row)


def _turns(value: Any, at: str) -> list[Message]:
    pair = sequence(value, at)
    if len(pair) != 2:
        raise FieldError(at, f"has {len(pair)} texts, not an instruction and its output")
    return [
        Message(role="user", content=text(pair[0], f"{at}[0]")),
        Message(role="assistant", content=text(pair[1], f"{at}[1]")),
    ]
