"""Conversations for the demo's fine-tuning: sums, worked out digit by digit.

Every pair of numbers from 0 to 99 is asked once; a tenth of them is held out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORDINGS = ("What is {a} plus {b}?", "{a} + {b} = ?", "Add {a} and {b}.")
HELD_OUT_SHARE = 0.1


def write_sums(folder: Path) -> tuple[Path, Path]:
    """Training and held-out conversations as messages JSONL, the same at every call."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "sums.jsonl", folder / "sums-held-out.jsonl"
    lines: tuple[list[str], list[str]] = ([], [])
    for key, record in sorted(_records()):
        lines[key < HELD_OUT_SHARE * 2**64].append(json.dumps(record))
    for path, rows in zip(paths, lines, strict=True):
        path.write_text("".join(row + "\n" for row in rows), "utf-8")
    return paths


def worked_out(a: int, b: int) -> str:
    """The sum of two numbers below 100: ones first, then tens, then the result."""
    ones = a % 10 + b % 10
    carry = f" + {ones // 10}" if ones >= 10 else ""
    tens = a // 10 + b // 10 + ones // 10
    return f"{a % 10} + {b % 10} = {ones}, {a // 10} + {b // 10}{carry} = {tens}: {a + b}"


def _records() -> Iterator[tuple[int, dict[str, Any]]]:
    """Each with the hash that orders them and says which are held out."""
    for a in range(100):
        for b in range(100):
            digest = hashlib.sha256(f"{a} + {b}".encode()).digest()
            question = WORDINGS[digest[8] % len(WORDINGS)].format(a=a, b=b)
            messages = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": worked_out(a, b)},
            ]
            yield int.from_bytes(digest[:8], "big"), {"messages": messages}
