"""ShareGPT: `conversations` of `from` and `value`, with tools as LLaMA-Factory's data have them.

https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from schemas.chat import Conversation, Message
from training.chat.formats.fields import (
    FieldError,
    conversation,
    from_json,
    mapping,
    one_of,
    required,
    sequence,
    text,
    tool_call,
)

_CALL = "function_call"
SPEAKERS: Mapping[str, str] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    _CALL: _CALL,
    "observation": "tool",
    "tool": "tool",
}
_FIELD = "conversations"


def read(row: Mapping[str, Any]) -> Conversation:
    """A conversation of `conversations`, with `system`, `tools` (a list, or a string of JSON), `id`
    and `source` where they are; `chosen` and `rejected` of preference data are left aside.

    Raises FieldError.
    """
    told = sequence(required(row, _FIELD), _FIELD)
    messages = [_message(turn, f"{_FIELD}[{number}]") for number, turn in enumerate(told)]
    system = row.get("system")
    if system:
        if messages and messages[0].role == "system":
            raise FieldError("system", "is there, and so is a system message; leave one out")
        messages.insert(0, Message(role="system", content=text(system, "system")))
    return conversation(messages, row, _FIELD)


def _message(value: Any, at: str) -> Message:
    turn = mapping(value, at)
    speaker = one_of(required(turn, "from", f"{at}."), SPEAKERS, f"{at}.from")
    said = required(turn, "value", f"{at}.")
    if speaker == _CALL:
        return _calls(said, f"{at}.value")
    if isinstance(said, dict | list):
        said = json.dumps(said, ensure_ascii=False)
    return Message.model_validate({"role": speaker, "content": text(said, f"{at}.value")})


def _calls(value: Any, at: str) -> Message:
    """One call, or a list of them, as JSON."""
    tree = from_json(value, at)
    several = tree if isinstance(tree, list) else [tree]
    if not several:
        raise FieldError(at, "is an empty list of calls")
    return Message(role="assistant", tool_calls=tuple(tool_call(call, at) for call in several))
