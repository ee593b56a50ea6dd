"""The conversations of the demo's fine-tuning."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from pipelines.demo.sums import worked_out, write_sums


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (12, 34, "2 + 4 = 6, 1 + 3 = 4: 46"),
        (7, 8, "7 + 8 = 15, 0 + 0 + 1 = 1: 15"),
        (96, 84, "6 + 4 = 10, 9 + 8 + 1 = 18: 180"),
    ],
)
def test_sums_are_worked_out_digit_by_digit(a: int, b: int, text: str) -> None:
    assert worked_out(a, b) == text


def test_every_pair_is_asked_once_and_a_tenth_is_held_out(tmp_path: Path) -> None:
    asked: Counter[tuple[int, ...]] = Counter()
    counts = []
    turns: Counter[int] = Counter()
    for path in write_sums(tmp_path):
        before = sum(asked.values())
        for line in path.open(encoding="utf-8"):
            messages = json.loads(line)["messages"]
            turns[len(messages) // 2] += 1
            for question, answer in zip(messages[::2], messages[1::2], strict=True):
                a, b = map(int, re.findall(r"\d+", question["content"]))
                assert answer["content"].endswith(f": {a + b}")
                asked[a, b] += 1
        counts.append(sum(asked.values()) - before)
    assert set(asked.values()) == {1}
    assert len(asked) == 10_000
    assert 900 < counts[1] < 1100
    assert set(turns) == {1, 2, 3}
    first = [path.read_bytes() for path in write_sums(tmp_path)]
    assert first == [path.read_bytes() for path in write_sums(tmp_path / "again")]
