"""Complexity and quality of records as a model rates them (DEITA, arXiv 2312.15685, section 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.instruct.asking import Asker
from training.instruct.records import Record
from training.instruct.requests import Request

LEAST, MOST = 1, 6
"""DEITA's scorers give six grades."""
_TOKENS = 8
_GRADE = re.compile(rf"\b([{LEAST}-{MOST}])\b")
_COMPLEXITY = (
    "How hard is this task, and how much does it ask for? Answer with one number from {least} "
    "(trivial) to {most} (very demanding), and nothing else.\n\n<task>\n{prompt}\n</task>"
)
_QUALITY = (
    "How good is the answer to this task: helpful, right, deep and complete? Answer with one "
    "number from {least} (useless) to {most} (excellent), and nothing else.\n\n"
    "<task>\n{prompt}\n</task>\n\n<answer>\n{answer}\n</answer>"
)


def rate(asker: Asker, records: Sequence[Record]) -> list[tuple[int | None, int | None]]:
    """(complexity, quality) of each record; None where the model gave no grade. Raises what asking
    raises."""
    requests = [_request(words, record) for record in records for words in (_COMPLEXITY, _QUALITY)]
    grades = [_grade(answer.text) for answer in asker.ask(requests)]
    return list(zip(grades[::2], grades[1::2], strict=True))


def _request(words: str, record: Record) -> Request:
    prompt = (
        words.replace("{least}", str(LEAST))
        .replace("{most}", str(MOST))
        .replace("{prompt}", record.prompt)
        .replace("{answer}", record.answers)
    )
    return Request(prompt, 0, 0.0, 1.0, _TOKENS)


def _grade(answer: str) -> int | None:
    found = _GRADE.search(answer)
    return int(found.group(1)) if found else None
