"""Complexity and quality of records as a model rates them.

DEITA (arXiv 2312.15685, sections 2.3 and 2.4) trains scorers, takes the expected value over six
grades, and sums over the turns of a conversation. Here any model gives one grade to the first
prompt, and one to all answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from training.instruct.asking import Asker
from training.instruct.methods.thoughts import without_thoughts
from training.instruct.records import Record
from training.instruct.requests import Answer, Request

LEAST, MOST = 1, 6
"""DEITA's scorers give six grades."""
_TOKENS = 8
_GRADE = re.compile(
    r"\W*(?:(?:the )?(?:grade|score|rating)\b(?: is\b)?)?\W*"
    rf"([{LEAST}-{MOST}])(?:\**\s*/\s*{MOST})?\W*",
    re.IGNORECASE,
)
"""One number and nothing else but its name."""
_COMPLEXITY = (
    "How hard is this task, and how much does it ask for? Answer with one number from {least} "
    "(trivial) to {most} (very demanding), and nothing else.\n\n<task>\n{prompt}\n</task>"
)
_QUALITY = (
    "How good is the answer to this task: helpful, right, deep and complete? Answer with one "
    "number from {least} (useless) to {most} (excellent), and nothing else.\n\n"
    "<task>\n{prompt}\n</task>\n\n<answer>\n{answer}\n</answer>"
)


ASPECTS: Mapping[str, str] = MappingProxyType({"complexity": _COMPLEXITY, "quality": _QUALITY})
"""What is rated, and how it is asked for."""


class Grade(NamedTuple):
    """A number, or why there is none."""

    value: float | None
    """Of a model from `LEAST` to `MOST`."""
    missing: str = ""


def rate(asker: Asker, asked: Sequence[tuple[str, Record]]) -> list[Grade]:
    """The grade of each (one of `ASPECTS`, record). Raises what asking raises."""
    requests = [_request(ASPECTS[aspect], record) for aspect, record in asked]
    return [_grade(answer) for answer in asker.ask(requests)]


def _request(words: str, record: Record) -> Request:
    # In one pass: a record may hold such a name in braces.
    filled = {
        "least": str(LEAST),
        "most": str(MOST),
        "prompt": record.prompt,
        "answer": record.answers,
    }
    prompt = re.sub(r"\{(\w+)\}", lambda found: filled[found.group(1)], words)
    return Request(prompt, 0, 0.0, 1.0, _TOKENS)


def _grade(answer: Answer) -> Grade:
    if answer.unusable is not None:
        return Grade(None, answer.unusable)
    found = _GRADE.fullmatch(without_thoughts(answer.text))
    return Grade(int(found.group(1))) if found else Grade(None, "no single grade")
