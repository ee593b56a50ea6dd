"""The configuration of `corpusmill instruct filter`. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from model.config import Section
from schemas.checked import checked
from schemas.recipe import Decontamination, Language, MinHash
from training.assignments import assign
from training.config import read_tree


class Lengths(Section):
    """Words (cut at white space) of the first user's message and of all answers. None: any."""

    min_prompt_words: int = Field(1, ge=0)
    max_prompt_words: int | None = Field(None, ge=1)
    min_answer_words: int = Field(1, ge=0)
    max_answer_words: int | None = Field(None, ge=1)


class FilterConfig(Section):
    """Rules in the order in which they are asked; the first that a record breaks names it."""

    format: Literal["messages", "sharegpt", "alpaca"] = "messages"
    lengths: Lengths = Lengths()
    prompt_keywords: tuple[str, ...] = ()
    """Whole words, in any case, in messages of users."""
    answer_keywords: tuple[str, ...] = ()
    """The same in answers: `as an AI language model`."""
    language: Language | None = None
    """As in a recipe."""
    decontamination: Decontamination | None = None
    """As in a recipe."""
    exact: bool = True
    """Of the same texts (white space aside) the first stays."""
    minhash: MinHash | None = MinHash()
    """As in a recipe's dedup: of nearly the same conversations the first stays."""
    rouge_l: float | None = Field(None, gt=0, le=1)
    """Of prompts with at least this ROUGE-L the first stays (Self-Instruct: 0.7). Every prompt is
    compared with all before it: for thousands of records, not for millions."""


def read_filter(path: str | Path | None, overrides: Sequence[str] = ()) -> FilterConfig:
    """A configuration from a file, if there is one, with `a.b=value` changes.

    Raises UsageError that names the key and the allowed ones, InputError without the file.
    """
    if path is not None:
        return checked(FilterConfig, read_tree(path, overrides), str(path))
    tree: dict[str, Any] = {}
    for assignment in overrides:
        assign(tree, assignment, "--set")
    return checked(FilterConfig, tree, "--set")
