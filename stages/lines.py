"""Edits: changes of a text between rules, by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

_CITATIONS = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_ELLIPSIS = "..."
_POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


class C4Lines(BaseModel):
    """Options of `c4_lines`; the defaults are C4's (tensorflow_datasets text/c4_utils.py)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_word_chars: int | None = Field(1000, gt=0)
    """Drop lines with a longer word between spaces; None: keep them."""
    remove_citations: bool = True
    """Take out [1], [], [edit] and [citation needed]."""
    terminal_punctuation: bool = True
    """Drop lines that do not end in one of `end_marks`, or end in three full stops."""
    end_marks: str = Field('.?!"', min_length=1)
    min_words_per_line: int = Field(5, ge=0)
    """Drop lines with fewer words between spaces."""
    count_citations: bool = False
    """Count the words before citations are taken out, as datatrove does; C4 counts after."""
    javascript: bool = True
    """Drop lines that mention javascript, in any case."""
    policy: bool = True
    """Drop lines with one of six phrases about terms, privacy and cookies."""
    keep_page_marks: bool = True
    """Leave a line with "lorem ipsum" although it mentions javascript, and one with "{" although
    it has a policy phrase: the reference looks for these marks first and drops the whole page,
    which rules over `c4.lorem_ipsum` and `c4.curly_bracket` can only do for lines they see."""


def _keep_line(line: str, n_words: int, options: C4Lines) -> bool:
    if options.terminal_punctuation and (
        not line.endswith(tuple(options.end_marks)) or line.endswith(_ELLIPSIS)
    ):
        return False
    if n_words < options.min_words_per_line:
        return False
    lower = line.lower()
    if options.javascript and "javascript" in lower:
        return options.keep_page_marks and "lorem ipsum" in lower
    if options.policy and any(phrase in lower for phrase in _POLICY_PHRASES):
        return options.keep_page_marks and ("{" in line or "lorem ipsum" in lower)
    return True


def c4_lines(text: str, options: C4Lines) -> str:
    """C4's line cleaning (arXiv 1910.10683 section 2.2; tensorflow_datasets text/c4_utils.py).

    Lines are stripped and joined again by single newlines; empty lines go.
    """
    kept: list[str] = []
    limit = options.max_word_chars
    for raw in text.splitlines():
        line = raw.strip()
        words = line.split()
        if limit is not None and len(line) > limit and any(len(word) > limit for word in words):
            continue
        n_words = len(words)
        if options.remove_citations and "[" in line:
            line = _CITATIONS.sub("", line)
            if not options.count_citations:
                n_words = len(line.split())
        if n_words and _keep_line(line, n_words, options):
            kept.append(line)
    return "\n".join(kept).strip()


class EditKind(NamedTuple):
    """An edit a recipe may name: the model of its options, and the function."""

    options: type[BaseModel]
    apply: Callable[[str, Any], str]


EDITS: dict[str, EditKind] = {"c4_lines": EditKind(C4Lines, c4_lines)}
