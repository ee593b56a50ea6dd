"""Evol-Instruct (Xu et al. 2023, WizardLM, arXiv 2304.12244): instructions made harder.

In each round every instruction is changed by one operation, answered, and turned down where one of
four elimination rules (section 3.2) holds; what failed enters the next round as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.errors import UsageError
from training.instruct.config import EvolInstruct, GenerateConfig
from training.instruct.methods.contract import Run, Workshop
from training.instruct.methods.evolution_prompts import (
    OPERATIONS,
    copies_the_prompt,
    evolve,
    same,
    says_nothing,
)
from training.instruct.methods.task_prompts import read_kind
from training.instruct.output import record_id
from training.instruct.requests import Answer
from training.instruct.seeds import SeedInstruction, read_seed_instructions


class _Task(NamedTuple):
    """An instruction on its way through the rounds."""

    seed: str
    """Id of the instruction that a person wrote."""
    text: str
    parents: tuple[str, ...] = ()
    """Ids of the instructions before it, the first one first."""

    @property
    def id(self) -> str:
        """Over the content."""
        return record_id(self.text, "")


class _Change(NamedTuple):
    """A task, what became of it, and how."""

    before: _Task
    text: str
    operation: str


class _EvolInstruct:
    def __init__(
        self, workshop: Workshop, settings: EvolInstruct, seeds: Sequence[SeedInstruction]
    ) -> None:
        self._shop = workshop
        self._settings = settings
        self._tasks = [_Task(seed.id, seed.text) for seed in seeds]
        workshop.random("order").shuffle(self._tasks)

    def run(self) -> str:
        """Round after round over all instructions, a batch at a time."""
        size = self._shop.config.batch
        for number in range(1, self._settings.rounds + 1):
            after: list[_Task] = []
            for begin in range(0, len(self._tasks), size):
                after += self._evolved(self._tasks[begin : begin + size], number)
                self._shop.say(
                    f"round {number} of {self._settings.rounds}: {self._shop.output.kept} of "
                    f"{self._shop.config.count} records, "
                    f"{self._shop.output.rejections.total()} rejections"
                )
                if self._shop.done:
                    return "complete"
            self._tasks = after
        return "exhausted"

    def _evolved(self, tasks: Sequence[_Task], number: int) -> list[_Task]:
        """The tasks for the next round, in the same order: changed ones, or as they were."""
        result = list(tasks)
        changes = self._changes(tasks, number)
        kept = self._gains(changes, number)
        for place, new in self._answered(kept, number):
            result[place] = new
        return result

    def _changes(self, tasks: Sequence[_Task], number: int) -> list[tuple[int, _Change]]:
        operations = [
            self._shop.random("operation", number, task.seed).choice(self._settings.operations)
            for task in tasks
        ]
        requests = [
            self._shop.request(evolve(operation, task.text), "evolve", number, task.seed)
            for task, operation in zip(tasks, operations, strict=True)
        ]
        changes = []
        answers = self._shop.ask(requests)
        for place, (task, operation, answer) in enumerate(
            zip(tasks, operations, answers, strict=True)
        ):
            change = _Change(task, answer.text.strip(), operation)
            reason, detail = _complaint(change, answer)
            if reason is None:
                changes.append((place, change))
            else:
                self._reject(reason, change, number, detail=detail)
        return changes

    def _gains(self, changes: list[tuple[int, _Change]], number: int) -> list[tuple[int, _Change]]:
        """Changes by which a task becomes another one."""
        requests = [
            self._shop.request(
                same(change.before.text, change.text), "same", number, change.before.seed, sure=True
            )
            for _, change in changes
        ]
        kept = []
        for (place, change), answer in zip(changes, self._shop.ask(requests), strict=True):
            if answer.unusable is not None:
                self._reject(answer.unusable, change, number, detail=answer.detail or answer.text)
                continue
            alike = read_kind(answer.text)
            if alike is False:
                kept.append((place, change))
            else:
                reason = "no_gain" if alike else "undecided"
                self._reject(reason, change, number, detail=answer.text)
        return kept

    def _answered(self, changes: list[tuple[int, _Change]], number: int) -> list[tuple[int, _Task]]:
        requests = [
            self._shop.request(change.text, "answer", number, change.before.seed)
            for _, change in changes
        ]
        new = []
        for (place, change), answer in zip(changes, self._shop.ask(requests), strict=True):
            reason = self._bad_answer(answer)
            if reason is None and self._shop.done:
                reason = "more_than_asked"
            if reason is not None:
                self._reject(reason, change, number, detail=answer.detail or answer.text)
                continue
            before = change.before
            task = _Task(before.seed, change.text, (*before.parents, before.id))
            self._shop.output.keep(
                task.text,
                answer.text.strip(),
                method="evol_instruct",
                round=number,
                operation=change.operation,
                seed_id=task.seed,
                parents=list(task.parents),
                task_id=task.id,
            )
            new.append((place, task))
        return new

    def _bad_answer(self, answer: Answer) -> str | None:
        if answer.unusable is not None:
            return answer.unusable
        text = answer.text.strip()
        if answer.finish_reason == "length":
            return "truncated"
        if says_nothing(text):
            return "says_nothing"
        words = text.lower().split()
        if "sorry" in text.lower() and len(words) < self._settings.sorry_words:
            return "sorry"
        return None

    def _reject(self, reason: str, change: _Change, number: int, detail: str) -> None:
        self._shop.output.reject(
            reason,
            instruction=change.text,
            detail=detail,
            operation=change.operation,
            parents=[*change.before.parents, change.before.id],
            seed_id=change.before.seed,
            round=number,
        )


def _complaint(change: _Change, answer: Answer) -> tuple[str | None, str]:
    """Why a changed task goes before anybody answers it."""
    if answer.unusable is not None:
        return answer.unusable, answer.detail
    if answer.finish_reason == "length":
        return "truncated", ""
    if says_nothing(change.text):
        return "says_nothing", ""
    if change.text == change.before.text:
        return "no_gain", "the same text"
    copied = copies_the_prompt(change.text)
    if copied is not None and copied.lower() not in change.before.text.lower():
        return "copied_prompt", copied
    return None, ""


def prepare(config: GenerateConfig) -> Run:
    """What makes records until there are enough (complete), or the rounds are over (exhausted).
    Raises UsageError for an unknown operation, InputError for seeds that cannot be read."""
    settings = config.evol_instruct
    assert settings is not None
    if not settings.operations:
        raise UsageError(f"evol_instruct.operations: name some of {', '.join(OPERATIONS)}")
    for name in settings.operations:
        if name not in OPERATIONS:
            raise UsageError(
                f"evol_instruct.operations: {name!r} is none of {', '.join(OPERATIONS)}"
            )
    seeds = read_seed_instructions(settings.seeds, settings.format)
    return lambda workshop: _EvolInstruct(workshop, settings, seeds).run()
