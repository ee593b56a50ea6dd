"""Records of each format as conversations, and what is said of those that are wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.chat import Message, ToolCall
from schemas.errors import InputError, UsageError
from training.chat import FORMATS, read_conversations
from training.chat.formats import FieldError


def told(format: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in FORMATS[format](row).messages]


def test_messages_of_openai() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    row = {
        "messages": [
            {"role": "developer", "content": "S"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "assistant", "content": None, "tool_calls": [call], "weight": 0},
            {"role": "tool", "content": "7", "tool_call_id": "c1"},
            {"role": "assistant", "content": "Seven", "weight": 1},
            {"role": "assistant", "content": "More", "train": False},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "id": 5,
    }
    found = FORMATS["messages"](row)
    assert told("messages", row)[:2] == [("system", "S"), ("user", "ab")]
    assert found.messages[2] == Message(
        role="assistant", tool_calls=(ToolCall(name="f", arguments={"a": 1}, id="c1"),), train=False
    )
    assert found.messages[3].tool_call_id == "c1"
    assert [m.train for m in found.messages[4:]] == [True, False]
    assert (found.id, found.tools[0]["function"]["name"]) == ("5", "f")


def test_sharegpt() -> None:
    row = {
        "system": "S",
        "tools": '[{"name": "f", "description": "d"}]',
        "conversations": [
            {"from": "human", "value": "a"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": "é"}}'},
            {"from": "observation", "value": {"degrees": "7 °C"}},
            {"from": "gpt", "value": "Seven"},
        ],
    }
    found = FORMATS["sharegpt"](row)
    assert found.messages[3].content == '{"degrees": "7 °C"}'
    assert [m.role for m in found.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert found.messages[2].tool_calls == (ToolCall(name="f", arguments={"x": "é"}),)
    assert found.tools == ({"type": "function", "function": {"name": "f", "description": "d"}},)


def test_alpaca() -> None:
    row = {
        "instruction": "Add.",
        "input": "1 2",
        "output": "3",
        "system": "S",
        "history": [["Hi", "Ho"]],
    }
    assert told("alpaca", row) == [
        ("system", "S"),
        ("user", "Hi"),
        ("assistant", "Ho"),
        ("user", "Add.\n\n1 2"),
        ("assistant", "3"),
    ]
    assert told("alpaca", {"instruction": "Add.", "input": "", "output": "3"})[0] == (
        "user",
        "Add.",
    )


def one(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", **fields}]}


@pytest.mark.parametrize(
    ("format", "row", "named"),
    [
        ("messages", {}, "messages: is missing"),
        ("messages", {"messages": []}, "messages: is empty"),
        ("messages", {"messages": "a"}, "messages: 'a' is not a list"),
        ("messages", {"messages": [5]}, r"messages\[0\]: 5 is not an object"),
        (
            "messages",
            {"messages": [{"role": "bot", "content": "a"}]},
            r"messages\[0\].role: 'bot' is none of system, developer, user, assistant, tool",
        ),
        ("messages", one(), r"messages\[1\].content: is missing"),
        ("messages", one(content=5), r"messages\[1\].content: 5 is not a string"),
        ("messages", one(content="\ud800"), r"messages\[1\].content: holds a lone surrogate"),
        ("messages", one(content=[{"type": "image"}]), r"content\[0\].type: 'image' is not text"),
        ("messages", one(content="a", weight=2), r"messages\[1\].weight: 2 is none of 0, 1"),
        (
            "messages",
            one(tool_calls=[{"function": {"name": "f", "arguments": "{"}}]),
            r"messages\[1\].tool_calls\[0\].function.arguments: is a string that is no JSON",
        ),
        (
            "messages",
            one(tool_calls=[{"function": {"name": "f", "arguments": "[1]"}}]),
            r"arguments: \[1\] is not an object",
        ),
        (
            "messages",
            {"messages": [one(content="a")["messages"][0], {"role": "system", "content": "s"}]},
            r"messages\[1\].role: system can only be the first",
        ),
        ("messages", {**one(content="a"), "tools": "[{}]"}, r"tools\[0\].function.name"),
        (
            "sharegpt",
            {"conversations": [{"from": "bing", "value": "a"}]},
            r"conversations\[0\].from: 'bing' is none of system, human",
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "observation", "value": {"x": "\ud800"}}]},
            r"conversations\[0\].value: holds a lone surrogate",
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "function_call", "value": "f()"}]},
            r"conversations\[0\].value: is a string that is no JSON",
        ),
        ("alpaca", {"instruction": "a"}, "output: is missing"),
        ("alpaca", {"instruction": "", "output": "b"}, "instruction: is empty"),
        ("alpaca", {"instruction": "a", "output": "b", "history": [["c"]]}, r"history\[0\]: has 1"),
    ],
)
def test_a_field_that_is_wrong_is_named(format: str, row: dict[str, Any], named: str) -> None:
    with pytest.raises(FieldError, match=named) as caught:
        FORMATS[format](row)
    assert "\n" not in str(caught.value)


ROWS = [{"instruction": f"i{n}", "output": f"o{n}"} for n in range(3)]
LINES = "\n".join(json.dumps(row) for row in ROWS) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES.replace("\n", "\n\n").encode()),
        ("a.jsonl", b"\xef\xbb\xbf" + LINES.encode()),
        ("a.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("a.json", json.dumps(ROWS, indent=1).encode()),
        ("a.json", LINES.encode()),
        ("a.json.gz", gzip.compress(json.dumps(ROWS).encode(), mtime=0)),
    ],
)
def test_files(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    found = list(read_conversations(tmp_path / name, "alpaca"))
    assert [number for number, _ in found] == [1, 2, 3]
    assert [c.messages[0].content for _, c in found] == ["i0", "i1", "i2"]


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        (
            "a.jsonl",
            LINES.encode() + b'{"instruction": 1, "output": ""}',
            "record 4: instruction: 1",
        ),
        ("a.jsonl", LINES.encode() + b"{", "record 4: is not JSON"),
        ("a.jsonl", LINES.encode() + b"[1]\n", "record 4: is not a JSON object"),
        ("a.jsonl", LINES.encode() + b'"\xff"\n', "record 4: is not UTF-8: byte 1"),
        ("a.jsonl", b'{"instruction": "\\ud800", "output": "b"}', "record 1: instruction: holds"),
        ("a.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)[:-6], "cannot be read after record"),
        ("a.jsonl.gz", b"plain", "cannot be read after record 0"),
        ("a.json", b"[1]", "record 1: is not a JSON object"),
        ("a.json", b"[1", "is not JSON"),
    ],
)
def test_bad_files_are_told_with_the_record(
    name: str, content: bytes, named: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=named) as caught:
        list(read_conversations(tmp_path / name, "alpaca"))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_formats_and_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'csv' is none of messages, sharegpt, alpaca"):
        next(read_conversations(tmp_path / "a.jsonl", "csv"))
    with pytest.raises(InputError, match="cannot be read"):
        next(read_conversations(tmp_path / "a.jsonl", "alpaca"))


@pytest.mark.parametrize(
    ("file", "format", "count"),
    [
        ("alpaca_en_demo", "alpaca", 500),
        ("alpaca_zh_demo", "alpaca", 497),
        ("glaive_toolcall_zh_demo", "sharegpt", 150),
        ("dpo_en_demo", "sharegpt", 158),
        ("kto_en_demo", "messages", 156),
    ],
)
def test_real_files(file: str, format: str, count: int, shared_data: Path) -> None:
    found = list(read_conversations(shared_data / "train" / f"{file}.jsonl.gz", format))
    assert len(found) == count
    if file.startswith("glaive"):
        calls = [call for _, c in found for m in c.messages for call in m.tool_calls]
        assert len(calls) > 50
        assert all(isinstance(call.arguments, dict) for call in calls)
