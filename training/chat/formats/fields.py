"""Fields of records, with errors that name them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from schemas.chat import Conversation, Message, ToolCall


class FieldError(Exception):
    """A field of a record that is not what it should be: `field` is its path, `what` the rest."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"{field}: {what}" if field else what)
        self.field = field
        self.what = what


def mapping(value: Any, field: str) -> Mapping[str, Any]:
    """An object. Raises FieldError."""
    if not isinstance(value, Mapping):
        raise FieldError(field, f"{shown(value)} is not an object")
    return value


def sequence(value: Any, field: str) -> Sequence[Any]:
    """A list. Raises FieldError."""
    if not isinstance(value, list | tuple):
        raise FieldError(field, f"{shown(value)} is not a list")
    return value


def text(value: Any, field: str) -> str:
    """A string. Raises FieldError, also for lone surrogates, which no tokenizer encodes."""
    if not isinstance(value, str):
        raise FieldError(field, f"{shown(value)} is not a string")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise FieldError(field, "holds a lone surrogate (half a UTF-16 pair), which is no text")
    return value


def optional_text(row: Mapping[str, Any], key: str, at: str = "") -> str | None:
    """A string that may be missing or null; of a number its digits."""
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None if value is None else text(value, f"{at}{key}")


def one_of(value: Any, allowed: Mapping[str, str], field: str) -> str:
    """What the value of an enumeration stands for. Raises FieldError with the allowed ones."""
    if not isinstance(value, str) or value not in allowed:
        raise FieldError(field, f"{shown(value)} is none of {', '.join(allowed)}")
    return allowed[value]


def required(row: Mapping[str, Any], key: str, at: str = "") -> Any:
    """A field that must be there. Raises FieldError."""
    if key not in row:
        raise FieldError(f"{at}{key}", "is missing")
    return row[key]


def from_json(value: Any, field: str) -> Any:
    """What a string of JSON says; anything else is itself. Raises FieldError."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise FieldError(field, f"is a string that is no JSON: {error}") from None


def tool_list(value: Any, field: str = "tools") -> tuple[dict[str, Any], ...]:
    """Functions as JSON schemas, also as a string of JSON. A function alone is put into
    OpenAI's envelope `{"type": "function", "function": ...}`. Raises FieldError."""
    tree = from_json(value, field) if value not in (None, "") else []
    found = []
    for number, tool in enumerate(sequence(tree, field)):
        at = f"{field}[{number}]"
        entry = dict(mapping(tool, at))
        if "function" not in entry:
            entry = {"type": "function", "function": entry}
        text(mapping(entry["function"], f"{at}.function").get("name"), f"{at}.function.name")
        text(json.dumps(entry, ensure_ascii=False), at)
        found.append(entry)
    return tuple(found)


def tool_call(value: Any, field: str) -> ToolCall:
    """A call with `name` and `arguments`, an object or a string of JSON; OpenAI puts both into
    `function`, beside an `id`. Raises FieldError."""
    call = mapping(value, field)
    inner, at = (call["function"], f"{field}.function") if "function" in call else (call, field)
    function = mapping(inner, at)
    name = text(required(function, "name", f"{at}."), f"{at}.name")
    if not name:
        raise FieldError(f"{at}.name", "is empty")
    told = function.get("arguments")
    arguments = from_json({} if told is None or told == "" else told, f"{at}.arguments")
    text(json.dumps(arguments, ensure_ascii=False), f"{at}.arguments")
    return ToolCall(
        name=name,
        arguments=dict(mapping(arguments, f"{at}.arguments")),
        id=optional_text(call, "id", f"{field}."),
    )


def conversation(
    messages: Sequence[Message], row: Mapping[str, Any], field: str = "messages"
) -> Conversation:
    """A conversation of a record with its tools, id and source. Raises FieldError."""
    if not messages:
        raise FieldError(field, "is empty")
    try:
        return Conversation(
            messages=tuple(messages),
            tools=tool_list(row.get("tools")),
            id=optional_text(row, "id"),
            source=optional_text(row, "source"),
        )
    except ValidationError as error:
        said = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise FieldError("", said.replace("messages", field, 1)) from None


def shown(value: Any, length: int = 40) -> str:
    """A value in an error."""
    said = repr(value)
    return said if len(said) <= length else said[:length] + "..."
