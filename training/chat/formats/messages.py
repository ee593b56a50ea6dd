"""Messages as OpenAI's chat API and its fine-tuning files have them.

https://platform.openai.com/docs/api-reference/chat and .../guides/fine-tuning (`weight`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.chat import Conversation, Message, Role
from training.chat.formats.fields import (
    FieldError,
    conversation,
    mapping,
    one_of,
    optional_text,
    required,
    sequence,
    shown,
    text,
    tool_call,
)

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
"""`developer` is what newer models of OpenAI call `system`."""


def read(row: Mapping[str, Any]) -> Conversation:
    """A conversation of `messages`, with `tools`, `id` and `source` where they are. Raises
    FieldError."""
    told = sequence(required(row, "messages"), "messages")
    return conversation([_message(m, f"messages[{n}]") for n, m in enumerate(told)], row)


def _message(value: Any, at: str) -> Message:
    message = mapping(value, at)
    role: Any = one_of(required(message, "role", f"{at}."), ROLES, f"{at}.role")
    told = message.get("tool_calls")
    calls = [] if told is None else sequence(told, f"{at}.tool_calls")
    if calls and role != "assistant":
        raise FieldError(f"{at}.tool_calls", f"only an assistant calls tools, not {role}")
    content = message.get("content")
    if content is None and not calls:
        raise FieldError(f"{at}.content", "is missing; only a call of tools goes without")
    return Message(
        role=role,
        content=_content(content, f"{at}.content"),
        tool_calls=tuple(tool_call(c, f"{at}.tool_calls[{n}]") for n, c in enumerate(calls)),
        tool_call_id=optional_text(message, "tool_call_id", f"{at}.") if role == "tool" else None,
        name=optional_text(message, "name", f"{at}."),
        train=_train(message, at),
    )


def _content(value: Any, at: str) -> str:
    """A string, null, or a list of parts that are texts."""
    if value is None:
        return ""
    if isinstance(value, str):
        return text(value, at)
    if not isinstance(value, list):
        raise FieldError(at, f"{shown(value)} is not a string, a list of text parts or null")
    parts = []
    for number, entry in enumerate(value):
        part = mapping(entry, f"{at}[{number}]")
        if part.get("type") != "text":
            raise FieldError(f"{at}[{number}].type", f"{shown(part.get('type'))} is not text")
        parts.append(text(part.get("text"), f"{at}[{number}].text"))
    return "".join(parts)


def _train(message: Mapping[str, Any], at: str) -> bool:
    """`weight` 0 or 1 (OpenAI), or `train` true or false; both may be missing."""
    for key in ("weight", "train"):
        value = message.get(key)
        if value is None:
            continue
        if value not in (0, 1) or isinstance(value, str):
            raise FieldError(f"{at}.{key}", f"{shown(value)} is none of 0, 1, false, true")
        return bool(value)
    return True
