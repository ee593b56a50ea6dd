"""Conversations as tokens in files: what is kept, trimmed, dropped, and said about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.chat import Conversation
from schemas.errors import InputError
from tests.builders.conversations import chat, write_records
from training.chat import ChatFormatter, open_formatter
from training.sft.encoded import EncodedConversations, write_encoded
from training.sft.learned import Encoded, Refusal, Rules, encode
from training.tokenizers import load_tokenizer

EOS = 256


@pytest.fixture
def formatter() -> ChatFormatter:
    return open_formatter("plain", load_tokenizer("byte"))


def rules(length: int = 64, **changed: Any) -> Rules:
    return Rules(length, "trim", "drop", "answers")._replace(**changed)


def conversation(*turns: str) -> Conversation:
    return Conversation.model_validate(chat(*turns))


def learned(found: Encoded | Refusal) -> list[int]:
    assert isinstance(found, Encoded)
    return [t for t, m in zip(found.tokens, found.mask, strict=True) if m]


def test_the_end_of_the_answer_is_learned(formatter: ChatFormatter) -> None:
    assert learned(encode(conversation("hello", "hi"), formatter, rules())) == [*b"hi", EOS]


def test_a_long_conversation_loses_its_oldest_turns_and_no_part_of_an_answer(
    formatter: ChatFormatter,
) -> None:
    talk = conversation("a" * 30, "b" * 30, "c" * 10, "d" * 10, "e" * 10, "f" * 10)
    found = encode(talk, formatter, rules(50))
    assert isinstance(found, Encoded)
    assert found.trimmed == 2
    assert learned(found) == [*b"d" * 10, EOS, *b"f" * 10, EOS]
    assert len(found.tokens) <= 51


def test_a_system_message_stays_when_turns_go(formatter: ChatFormatter) -> None:
    record = chat("a" * 40, "b" * 40, "c", "d")
    record["messages"].insert(0, {"role": "system", "content": "be brief"})
    found = encode(Conversation.model_validate(record), formatter, rules(40))
    assert isinstance(found, Encoded)
    text = bytes(t for t in found.tokens if t < 256).decode()
    assert text.startswith("be brief")
    assert "a" not in text


@pytest.mark.parametrize("too_long", ["trim", "drop"])
def test_an_answer_is_never_cut(formatter: ChatFormatter, too_long: str) -> None:
    found = encode(conversation("q", "x" * 100), formatter, rules(50, too_long=too_long))
    assert isinstance(found, Refusal)
    assert found.reason == "too_long"
    assert "sequence_length 50" in found.detail


def test_what_follows_the_last_answer_is_left_out(formatter: ChatFormatter) -> None:
    talk = conversation("a", "b", "x" * 300)
    found = encode(talk, formatter, rules(20))
    assert isinstance(found, Encoded)
    assert found.tokens == [*b"a\nb", EOS]
    whole = encode(talk, formatter, rules(400, train_on="all"))
    assert isinstance(whole, Encoded)
    assert len(whole.tokens) > 300


def test_as_many_turns_stay_as_fit(formatter: ChatFormatter) -> None:
    talk = conversation(*(letter * 9 for letter in "abcdefghijklmnop"))
    for length in range(20, 160):
        found = encode(talk, formatter, rules(length))
        assert isinstance(found, Encoded)
        # A turn is 9 letters and its end; the last token is a label alone.
        assert len(found.tokens) == min((length + 1) // 20, 8) * 20


def test_only_answers_that_are_learned_have_to_be_there(formatter: ChatFormatter) -> None:
    talk = conversation("q", "", "r", "a")
    assert learned(encode(talk, formatter, rules(train_on="last_answer"))) == [*b"a", EOS]
    record = chat("q", "", "r", "a")
    record["messages"][1]["train"] = False
    assert learned(encode(Conversation.model_validate(record), formatter, rules())) == [*b"a", EOS]


def test_what_a_template_has_no_form_for_is_told_with_its_place(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {}}]}
    record = {"messages": [{"role": "user", "content": "q"}, call]}
    path = write_records(tmp_path / "f.jsonl", [chat("q", "a"), record])
    chatml = open_formatter("chatml", load_tokenizer("byte"))
    with pytest.raises(InputError, match=r"f\.jsonl: record 2: .*chatml.*tools"):
        write_encoded([str(path)], "messages", tmp_path / "t", chatml, rules(), "key")


@pytest.mark.parametrize("length", [11, 12])
def test_the_last_token_is_a_label_alone(formatter: ChatFormatter, length: int) -> None:
    # 12 bytes and EOS: 13 tokens take 12 places.
    found = encode(conversation("12345", "789012"), formatter, rules(length))
    assert isinstance(found, Encoded) == (length == 12)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [(("q", ""), "empty_answer"), (("q", " \n"), "empty_answer"), (("q",), "no_answer")],
)
def test_what_teaches_nothing_is_refused(
    formatter: ChatFormatter, turns: tuple[str, ...], reason: str
) -> None:
    found = encode(conversation(*turns), formatter, rules())
    assert isinstance(found, Refusal)
    assert found.reason == reason


def test_everything_read_is_kept_or_dropped_with_its_place(
    formatter: ChatFormatter, tmp_path: Path
) -> None:
    records = [chat("q", "a"), chat("q", ""), chat("q", "x" * 99), chat("more", "b")]
    path = write_records(tmp_path / "f.jsonl", records)
    counts = write_encoded([str(path)], "messages", tmp_path / "t", formatter, rules(20), "key")
    assert counts == {"read": 4, "kept": 2, "trimmed": 0, "empty_answer": 1, "too_long": 1}
    rows = [json.loads(line) for line in (tmp_path / "t" / "dropped.jsonl").open()]
    assert [(r["record"], r["reason"]) for r in rows] == [(2, "empty_answer"), (3, "too_long")]
    held = EncodedConversations(tmp_path / "t")
    tokens, targets = held.gather(held.lengths.argsort(kind="stable")[::-1].copy())
    assert tokens.tolist() == [*b"more\nb", EOS, *b"q\na", EOS]
    assert targets.tolist() == [False] * 5 + [True] * 2 + [False] * 2 + [True] * 2


def test_a_configuration_can_refuse_to_drop(formatter: ChatFormatter, tmp_path: Path) -> None:
    path = write_records(tmp_path / "f.jsonl", [chat("q", "a"), chat("q", "")])
    with pytest.raises(InputError) as raised:
        write_encoded(
            [str(path)], "messages", tmp_path / "t", formatter, rules(empty_answers="error"), "key"
        )
    assert str(raised.value) == (
        f"{path}: record 2: messages[1].content: an empty answer; mend the record, or set "
        "data.empty_answers: drop"
    )
    assert not (tmp_path / "t").exists()


def test_encoding_is_done_once_for_a_key(formatter: ChatFormatter, tmp_path: Path) -> None:
    path = write_records(tmp_path / "f.jsonl", [chat("q", "a")])
    arguments = ([str(path)], "messages", tmp_path / "t", formatter, rules())
    first = write_encoded(*arguments, "one")
    write_records(path, [chat("q", "a"), chat("q", "b")])
    assert write_encoded(*arguments, "one") == first
    assert write_encoded(*arguments, "two")["kept"] == 2


def test_a_damaged_folder_is_named(formatter: ChatFormatter, tmp_path: Path) -> None:
    path = write_records(tmp_path / "f.jsonl", [chat("q", "a")])
    write_encoded([str(path)], "messages", tmp_path / "t", formatter, rules(), "key")
    (tmp_path / "t" / "tokens.bin").write_bytes(b"\0" * 4)
    with pytest.raises(InputError, match=r"t: tokens.bin is cut off; delete the folder"):
        EncodedConversations(tmp_path / "t")
    (tmp_path / "t" / "starts.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"t: cannot be read: .*; delete it"):
        EncodedConversations(tmp_path / "t")


def test_an_empty_list_of_records_is_named(formatter: ChatFormatter, tmp_path: Path) -> None:
    path = write_records(tmp_path / "f.jsonl", [chat("q", "a")])
    write_encoded([str(path)], "messages", tmp_path / "t", formatter, rules(), "key")
    (tmp_path / "t" / "records.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"records.npy: cannot be read"):
        EncodedConversations(tmp_path / "t").origin(0)
