"""The configuration of supervised fine-tuning. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from model.config import Section
from schemas.checked import checked
from training.chat.formats import FORMATS
from training.config import TrainingConfig, check_model, read_tree
from training.run_folder import FREE_DATA

_TASK_NAME = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED = ("eval", *FREE_DATA)
"""Folders and keys of other things."""
ONLY_TASK = "train"
"""Name of the one task where `data.train` is a file, or several."""


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"none of {', '.join(FORMATS)}")
    return name


def _files(value: Any) -> Any:
    """One file or a list of them, as the section that they stand for."""
    return {"files": value} if isinstance(value, str | list) else value


Format = Annotated[str, AfterValidator(_known_format)]


class Files(Section):
    """Conversations in files."""

    files: Annotated[list[str], Field(min_length=1)]
    format: Format | None = None
    """Default: data.format."""

    @field_validator("files", mode="before")
    @classmethod
    def _one_file(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class Task(Files):
    """Conversations that belong together."""

    weight: float | None = Field(None, gt=0)
    """Share of the samples, relative to other tasks; default: the number of its samples, which are
    conversations or packed rows."""


class Strategy(Section):
    """In which order tasks are learned (Dong et al., arXiv 2310.05492, section 3.5)."""

    name: Literal["multi_task", "sequential", "mixed_sequential", "two_stage"] = "multi_task"
    """All together; one after another; all but `general` together, then `general`; the same with
    `kept_share` of the others kept in the second stage."""
    general: tuple[str, ...] = ()
    """Tasks of the last stage."""
    kept_share: float = Field(1 / 256, gt=0, le=1)
    """two_stage: of the samples of each other task, the share that is among those of the last
    stage."""


class Data(Section):
    train: dict[str, Task]
    """A file, a list of files, or tasks by name."""
    eval: Files | None = None
    """Conversations for validation and `eval`: a file, files, or both with their format."""
    format: Format = "messages"
    """messages (OpenAI), sharegpt, alpaca."""
    template: str | None = None
    """chatml, llama3, qwen, plain, or a Jinja file; default: that of `init`, or else chatml."""
    sequence_length: int = Field(1024, ge=2)
    packing: Literal["none", "best_fit"] = "none"
    """none: a sample is a conversation; best_fit: a row of several that do not see each other."""
    group_by_length: bool = False
    """Put conversations of like length into a step: less padding."""
    too_long: Literal["trim", "drop", "error"] = "trim"
    """trim: leave out the oldest turns, never a part of an answer; what is still too long is
    dropped."""
    empty_answers: Literal["drop", "error"] = "drop"
    train_on: Literal["answers", "last_answer", "all"] = "answers"
    strategy: Strategy = Strategy()
    prefetch: int = Field(4, ge=0)

    @field_validator("train", mode="before")
    @classmethod
    def _tasks(cls, value: Any) -> Any:
        if isinstance(value, str | list):
            value = {ONLY_TASK: value}
        if not isinstance(value, Mapping) or not all(value.values()):
            raise ValueError("a file, a list of files, or tasks by name, each with its files")
        return {name: _files(task) for name, task in value.items()}

    @field_validator("eval", mode="before")
    @classmethod
    def _one_file(cls, value: Any) -> Any:
        return _files(value)

    @field_validator("strategy", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Data:
        if not self.train:
            raise ValueError("train: names no task")
        for name in self.train:
            if not _TASK_NAME.fullmatch(name) or name in _RESERVED:
                raise ValueError(
                    f"train: {name!r} cannot be the name of a task: letters, digits, _ and -, and "
                    f"none of {', '.join(_RESERVED)}"
                )
        for name in self.strategy.general:
            if name not in self.train:
                raise ValueError(
                    f"strategy.general: {name!r} is none of the tasks of train: "
                    f"{', '.join(self.train)}"
                )
        staged = self.strategy.name in ("mixed_sequential", "two_stage")
        if staged and not 0 < len(set(self.strategy.general)) < len(self.train):
            raise ValueError(
                f"strategy: {self.strategy.name} needs strategy.general, the tasks of its last "
                "stage: some of train's and not all"
            )
        # A run's own config.yaml has every key, at its default where it was left out.
        given = self.strategy.model_dump(exclude={"name"}, exclude_defaults=True)
        if not staged and given:
            raise ValueError(
                f"strategy.{min(given)}: has no effect with {self.strategy.name}; leave it out"
            )
        if self.packing != "none" and self.group_by_length:
            raise ValueError("group_by_length: packed rows are all full; take packing: none")
        return self


class Eval(Section):
    """Questions that are put to the model while it trains: the last answers of `data.eval`."""

    every: int = Field(500, ge=1)
    metric: Literal["exact_match", "accuracy"] = "exact_match"
    """exact_match: answers, written greedily, that are the expected text; accuracy: tokens of the
    answers that are the most probable ones, given those before."""
    max_new_tokens: int = Field(64, ge=1)
    limit: int = Field(200, ge=1)
    """Conversations, the first ones."""
    batch_size: int = Field(32, ge=1)


class SftConfig(TrainingConfig):
    """`corpusmill sft CONFIG.yaml`."""

    data: Data
    neftune_alpha: float | None = Field(None, gt=0)
    """Noise on embeddings (Jain et al., arXiv 2310.05914); 5 to 15 there."""
    eval: Eval | None = None

    @model_validator(mode="after")
    def _has_questions(self) -> SftConfig:
        if self.eval is not None and self.data.eval is None:
            raise ValueError("eval: needs data.eval, the conversations to ask")
        return self


def read_sft(path: str | Path, overrides: Sequence[str] = ()) -> SftConfig:
    """A configuration from its file, with `a.b=value` changes.

    Raises UsageError that names the key and the allowed ones, InputError without the file.
    """
    return check_sft(read_tree(path, overrides), str(path))


def check_sft(tree: Mapping[str, Any], origin: str) -> SftConfig:
    """The tree as a configuration. Raises UsageError that names the key."""
    config = checked(SftConfig, tree, origin)
    check_model(config)
    return config
