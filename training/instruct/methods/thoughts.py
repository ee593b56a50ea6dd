"""What a model thinks before it answers."""

from __future__ import annotations

import re

_BLOCK = re.compile(r"\A\s*<think>.*?(?:</think>\s*|\Z)", re.DOTALL)
_OPEN, _CLOSE = "<think>", "</think>"


def without_thoughts(answer: str) -> str:
    """An answer without the `<think>` block at its beginning, which is all of an answer that was
    cut in it. Where the model's chat template opens the block, the answer only closes it."""
    thoughts, close, rest = answer.partition(_CLOSE)
    if close and _OPEN not in thoughts:
        return rest.lstrip()
    return _BLOCK.sub("", answer)
