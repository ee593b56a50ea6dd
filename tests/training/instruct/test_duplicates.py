"""Which records are copies of one before them."""

from __future__ import annotations

from typing import Any

from schemas.recipe import MinHash
from training.chat.formats import FORMATS
from training.instruct.duplicates import near_copies
from training.instruct.records import Record


def record(number: int, *turns: dict[str, Any], **rest: Any) -> Record:
    row = {"messages": list(turns), **rest}
    return Record("a.jsonl", number, row, FORMATS["messages"](row))


def sum_of(number: int, left: int, right: int) -> Record:
    return record(
        number,
        {"role": "user", "content": f"What is {left}+{right}?"},
        {"role": "assistant", "content": f"{left + right}"},
    )


def test_records_that_differ_in_numbers_are_no_near_copies() -> None:
    records = [sum_of(1, 12, 7), sum_of(2, 45, 9), sum_of(3, 12, 7)]
    assert list(near_copies(records, MinHash())) == [2]


def test_long_records_that_differ_in_one_number_still_are() -> None:
    story = " ".join(f"word{n}" for n in range(400))
    records = [
        record(1, {"role": "user", "content": f"{story} 12"}),
        record(2, {"role": "user", "content": f"{story} 45"}),
    ]
    assert list(near_copies(records, MinHash())) == [1]
