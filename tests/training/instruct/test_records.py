"""What a record says, tool calls included, and which records say the same."""

from __future__ import annotations

from typing import Any

from training.chat.formats import FORMATS
from training.instruct.duplicates import exact_copies
from training.instruct.filter_config import FilterConfig
from training.instruct.records import Record
from training.instruct.rules import rules_of

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]

OTHERS = [{"type": "function", "function": {"name": "climate", "parameters": {}}}]


def record(*turns: dict[str, Any], **rest: Any) -> Record:
    row = {"messages": list(turns), **rest}
    return Record("a.jsonl", 1, row, FORMATS["messages"](row))


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def calling(arguments: str, name: str = "weather", id: str = "call_1") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call = {"id": id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def copies(*records: Record) -> list[int]:
    return list(exact_copies(records))


def test_records_that_differ_in_a_tool_call_only_are_no_copies() -> None:
    asked = user("Is it warm?")
    one = record(asked, calling('{"city": "Oslo", "day": 1}'), tools=TOOLS)
    assert copies(
        one,
        record(asked, calling('{"city": "Rome", "day": 1}'), tools=TOOLS),
        record(asked, calling('{"city": "Oslo", "day": 1}', name="climate"), tools=TOOLS),
        record(asked, calling('{"city": "Oslo", "day": 1}'), tools=OTHERS),
        record(asked, calling('{"day": 1, "city": "Oslo"}', id="call_2"), tools=TOOLS),
    ) == [4]


def test_the_same_words_in_other_roles_are_no_copy() -> None:
    system = {"role": "system", "content": "Name a river."}
    assert copies(
        record(user("Name a river."), assistant("The Elbe.")),
        record(user("Name a river."), user("The Elbe.")),
        record(system, user("The Elbe.")),
        record(user("Name a river.\nThe Elbe.")),
        record(user("Name  a\nriver."), assistant(" The Elbe.")),
    ) == [4]


def test_a_call_is_an_answer() -> None:
    called = record(user("Is it warm?"), calling('{"day": 1, "city": "Oslo"}'), tools=TOOLS)
    assert called.answers == 'weather {"city": "Oslo", "day": 1}'
    assert called.text == f"Is it warm?\n{called.answers}"
    silent = record(user("Is it warm?"), assistant(""))
    (lengths,) = rules_of(FilterConfig(), None)
    assert lengths(called) is None
    refused = lengths(silent)
    assert refused is not None
    assert refused.rule == "length.answer_min"
