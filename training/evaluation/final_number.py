"""The number that an answer to a word problem ends with, and whether two are the same.

The two ways are those of lm-eval's task gsm8k (`strict-match`, `flexible-extract`), so that figures
compare.
"""

from __future__ import annotations

import re

_STRICT = re.compile(r"#### (-?[0-9.,]+)")
_ANY = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")
_BEFORE = re.compile(r".*#### ", re.DOTALL)


def strict_number(text: str) -> str | None:
    """The first number behind `#### `, as the solutions of GSM8K mark theirs (Cobbe et al., arXiv
    2110.14168)."""
    found = _STRICT.search(text)
    return found[1] if found else None


def flexible_number(text: str) -> str | None:
    """The last number, whatever is around it."""
    found = _ANY.findall(text)
    return found[-1] if found else None


def same_number(found: str | None, expected: str) -> bool:
    """Equal but for thousands' commas, dollar signs, a full stop at the end, and what stands before
    `#### `."""
    return found is not None and _bare(found) == _bare(expected)


def _bare(text: str) -> str:
    without = _BEFORE.sub("", text.replace(",", "").replace("$", ""))
    return without.removesuffix(".").lower()
