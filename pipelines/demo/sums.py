"""Conversations for the demo's fine-tuning: sums, worked out digit by digit.

Every pair of numbers from 0 to 99 is asked once, in conversations of one to three questions; a
tenth of the pairs is held out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

WORDINGS = ("What is {a} plus {b}?", "{a} + {b} = ?", "Add {a} and {b}.")
HELD_OUT_SHARE = 0.1
TURNS_MAX = 3


def write_sums(folder: Path) -> tuple[Path, Path]:
    """Training and held-out conversations as messages JSONL, the same at every call."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "sums.jsonl", folder / "sums-held-out.jsonl"
    for held, path in zip((False, True), paths, strict=True):
        records = "".join(json.dumps(record) + "\n" for record in _records(held))
        path.write_text(records, "utf-8")
    return paths


def worked_out(a: int, b: int) -> str:
    """The sum of two numbers below 100: ones first, then tens, then the result."""
    ones = a % 10 + b % 10
    carry = f" + {ones // 10}" if ones >= 10 else ""
    tens = a // 10 + b // 10 + ones // 10
    return f"{a % 10} + {b % 10} = {ones}, {a // 10} + {b // 10}{carry} = {tens}: {a + b}"


class _Pair(NamedTuple):
    digest: bytes
    """Of the pair: its place, its wording, and whether it is held out."""
    a: int
    b: int

    @property
    def held_out(self) -> bool:
        return int.from_bytes(self.digest[:8], "big") < HELD_OUT_SHARE * 2**64

    def turns(self) -> list[dict[str, str]]:
        question = WORDINGS[self.digest[8] % len(WORDINGS)].format(a=self.a, b=self.b)
        return [
            {"role": "user", "content": question},
            {"role": "assistant", "content": worked_out(self.a, self.b)},
        ]


def _records(held_out: bool) -> Iterator[dict[str, Any]]:
    """Conversations of the pairs that are held out, or of the others, in the order of digests."""
    every = (_Pair(_digest(a, b), a, b) for a in range(100) for b in range(100))
    pairs = iter(sorted(pair for pair in every if pair.held_out == held_out))
    for first in pairs:
        more = islice(pairs, first.digest[9] % TURNS_MAX)
        yield {"messages": [turn for pair in (first, *more) for turn in pair.turns()]}


def _digest(a: int, b: int) -> bytes:
    return hashlib.sha256(f"{a} + {b}".encode()).digest()
