"""Evol-Instruct's questions to a model (WizardLM, arXiv 2304.12244, section 3.2), in words of our
own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_DEPTH = (
    "Rewrite the task below into a harder version of it that a person would still understand and "
    "could solve. {how} Keep tables, code and inputs that the task holds. Add no more than twenty "
    "words. Answer with the new task alone, without a solution.\n\n<task>\n{task}\n</task>"
)
_BREADTH = (
    "Make up a new task in the same field as the one below, but rarer. It should be as long and as "
    "hard, and a person must be able to understand and solve it. Answer with the new task alone, "
    "without a solution.\n\n<task>\n{task}\n</task>"
)
_HOW = {
    "constraints": "Add one more requirement or constraint to it.",
    "deepen": "Where it asks about a matter, ask more deeply and more widely.",
    "concretise": "Replace general notions by more specific ones.",
    "reasoning": "If a few simple steps of thought solve it, ask so that more steps are needed.",
    "input": "Add data in a suitable form, such as a table, code, JSON or a formula, that the "
    "solution has to work with.",
}
OPERATIONS: Mapping[str, str] = MappingProxyType(
    {**{name: _DEPTH.replace("{how}", how) for name, how in _HOW.items()}, "breadth": _BREADTH}
)
"""Name -> prompt with a place for the task."""

_SAME = (
    "Do these two tasks ask for the same: with the same constraints, and as deep and as wide? "
    "Answer with Yes or No alone.\n\nFirst task:\n{before}\n\nSecond task:\n{after}\n\nAnswer:"
)
_COPIED = re.compile(
    r"</?task>|\b(?:(?:given|rewritten|evolved) (?:task|prompt)|(?:rewritten|harder) version)\b"
    r"|\bthe (?:new|harder|created) (?:task|prompt)\b|\b(?:new|harder|created) (?:task|prompt):",
    re.IGNORECASE,
)
"""A person may speak of a new task; the model speaks of the new one."""
_WORD = re.compile(r"\w+")
_STOP_WORDS_TEXT = """
a about all also an and any are as at be been but by can could did do does for from had
has have he her his how i if in into is it its just me my no not of on or our she should
so some than that the their them then there these they this those to too up us very was we
were what when where which who will with would you your
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())


def evolve(operation: str, task: str) -> str:
    """The prompt that asks for a changed task."""
    return OPERATIONS[operation].replace("{task}", task)


def same(before: str, after: str) -> str:
    """The prompt that asks whether a change brought nothing."""
    head, between, tail = re.split(r"\{before\}|\{after\}", _SAME)
    return f"{head}{before}{between}{after}{tail}"


def copies_the_prompt(task: str) -> str | None:
    """Words of our prompt that a changed task repeats, which its source does not count against."""
    found = _COPIED.search(task)
    return found.group() if found else None


def says_nothing(answer: str) -> bool:
    """Whether there are only punctuation and stop words."""
    return all(word in _STOP_WORDS for word in _WORD.findall(answer.lower()))
