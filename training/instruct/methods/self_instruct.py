"""Self-Instruct (Wang et al. 2022, arXiv 2212.10560): tasks out of tasks.

In turns: new tasks from 6 human and 2 machine-made examples, a few-shot decision whether each is
classification, instances (label first for classification, input first otherwise), filters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.instruct.config import GenerateConfig, SelfInstruct
from training.instruct.methods.contract import Run, Workshop
from training.instruct.methods.task_prompts import (
    Instance,
    ask_for_instances,
    ask_for_kind,
    ask_for_tasks,
    read_instances,
    read_kind,
    read_tasks,
)
from training.instruct.output import record_id
from training.instruct.requests import Answer
from training.instruct.rouge import InstructionPool, beyond_latin, rouge_tokens
from training.instruct.seeds import SeedTask, read_seed_tasks, with_input

_INSTANCE_EXAMPLES = 3


class _New:
    """A task that passed the filters, on its way to instances."""

    def __init__(self, id: str, text: str, examples: list[str], batch: int) -> None:
        self.id = id
        self.text = text
        self.examples = examples
        """Ids of the tasks in the prompt that it comes from."""
        self.batch = batch
        self.classification = False


class _SelfInstruct:
    def __init__(
        self, workshop: Workshop, settings: SelfInstruct, seeds: Sequence[SeedTask]
    ) -> None:
        self._shop = workshop
        self._settings = settings
        self._seeds = seeds
        self._machine: list[_New] = []
        self._pool = InstructionPool(settings.rouge_l)
        for seed in self._seeds:
            self._pool.add(seed.id, seed.instruction)
        self._keywords = re.compile(
            r"\b(?:" + "|".join(map(re.escape, settings.keywords or ("(?!)",))) + r")\b",
            re.IGNORECASE,
        )

    def run(self) -> str:
        """Batches until there are enough records, or too many brought none."""
        batch = idle = 0
        while not self._shop.done:
            before = self._shop.output.kept
            self._instances(self._decided(self._tasks(batch)))
            idle = 0 if self._shop.output.kept > before else idle + 1
            if idle >= self._shop.config.patience:
                return "exhausted"
            batch += 1
            self._shop.say(
                f"batch {batch}: {self._shop.output.kept} of {self._shop.config.count} records, "
                f"{self._shop.output.rejections.total()} rejections, {len(self._machine)} new tasks"
            )
        return "complete"

    def _tasks(self, batch: int) -> list[_New]:
        prompts = [self._examples(batch, number) for number in range(self._shop.config.batch)]
        requests = [
            self._shop.request(ask_for_tasks([text for _, text in chosen]), "tasks", batch, number)
            for number, chosen in enumerate(prompts)
        ]
        found = []
        for chosen, answer in zip(prompts, self._shop.ask(requests), strict=True):
            examples = [id for id, _ in chosen]
            if self._shop.refused(answer, examples=examples):
                continue
            texts = read_tasks(answer.text, answer.finish_reason == "length")
            if not texts:
                self._shop.output.reject("no_tasks", answer=answer.text, examples=examples)
            for text in texts:
                new = self._accepted(text, examples, batch)
                if new is not None:
                    found.append(new)
        self._machine += found
        return found

    def _examples(self, batch: int, number: int) -> list[tuple[str, str]]:
        draw, settings = self._shop.random("examples", batch, number), self._settings
        machine = draw.sample(self._machine, min(settings.machine_examples, len(self._machine)))
        human_count = settings.human_examples + settings.machine_examples - len(machine)
        human = draw.sample(self._seeds, min(human_count, len(self._seeds)))
        chosen = [(seed.id, seed.instruction) for seed in human]
        chosen += [(task.id, task.text) for task in machine]
        draw.shuffle(chosen)
        return chosen

    def _accepted(self, text: str, examples: list[str], batch: int) -> _New | None:
        reason, detail = self._complaint(text)
        if reason is None and (near := self._pool.like(text)) is not None:
            reason, detail = "rouge_l", f"{near.score:.3f} with {near.id}"
        if reason is not None:
            self._shop.output.reject(
                reason, instruction=text, detail=detail, examples=examples, batch=batch
            )
            return None
        new = _New(record_id(text, ""), text, examples, batch)
        self._pool.add(new.id, text)
        return new

    def _complaint(self, text: str) -> tuple[str | None, str]:
        words = len(text.split())
        # Chinese, Japanese and Thai have no spaces, and a whole task would be one word.
        least = max(words, len(rouge_tokens(text))) if beyond_latin(text) else words
        if least < self._settings.min_words:
            return "too_short", f"{least} words"
        if words > self._settings.max_words:
            return "too_long", f"{words} words"
        keyword = self._keywords.search(text)
        if keyword:
            return "keyword", keyword.group()
        # bootstrap_instructions.py: models take "Write a program" as a wish for a program's text,
        # and what begins with punctuation is a torn piece. It also drops what begins with a quote
        # or with a letter beyond ASCII, for it makes English alone.
        if text.lower().startswith("write a program"):
            return "keyword", "write a program"
        if not text[0].isalnum() and text[0] not in "\"'“«(":
            return "punctuation", text[0]
        return None, ""

    def _decided(self, tasks: list[_New]) -> list[_New]:
        examples = self._kind_examples()
        requests = [
            self._shop.request(ask_for_kind(task.text, examples), "kind", task.id, sure=True)
            for task in tasks
        ]
        decided = []
        for task, answer in zip(tasks, self._shop.ask(requests), strict=True):
            if self._shop.refused(answer, instruction=task.text):
                continue
            kind = read_kind(answer.text)
            if kind is None:
                self._shop.output.reject("undecided", instruction=task.text, answer=answer.text)
                continue
            task.classification = kind
            decided.append(task)
        return decided

    def _kind_examples(self) -> list[SeedTask]:
        yes, no = self._settings.classification_examples
        draw = self._shop.random("kinds")
        chosen = []
        for wanted, kind in ((yes, True), (no, False)):
            there = [seed for seed in self._seeds if seed.classification is kind]
            chosen += draw.sample(there, min(wanted, len(there)))
        draw.shuffle(chosen)
        return chosen

    def _instances(self, tasks: list[_New]) -> None:
        count = self._settings.instances
        requests = []
        for task in tasks:
            kind = task.classification
            there = [seed for seed in self._seeds if seed.classification is kind] or self._seeds
            draw = self._shop.random("instances", task.id)
            examples = draw.sample(there, min(_INSTANCE_EXAMPLES, len(there)))
            prompt = ask_for_instances(task.text, examples, kind, count)
            requests.append(self._shop.request(prompt, "instances", task.id))
        for task, answer in zip(tasks, self._shop.ask(requests), strict=True):
            self._keep(task, answer)
            if self._shop.done:
                return

    def _keep(self, task: _New, answer: Answer) -> None:
        if self._shop.refused(answer, instruction=task.text):
            return
        cut = answer.finish_reason == "length"
        found = read_instances(answer.text, task.classification, cut)
        if cut or not found:
            reason = "truncated" if cut else "no_instances"
            self._shop.output.reject(reason, instruction=task.text, answer=answer.text)
        kept, sound = 0, [instance for instance in found if _unsound(instance) is None]
        for number, instance in enumerate(found):
            why = _unsound(instance) or _like_another(instance, found[:number], sound)
            if why is None and (kept >= self._settings.instances or self._shop.done):
                why = "more_than_asked"
            if why is not None:
                self._shop.output.reject(why, instruction=task.text, **instance._asdict())
                continue
            kept += 1
            self._shop.output.keep(
                with_input(task.text, instance.input),
                instance.output,
                method="self_instruct",
                round=task.batch,
                parents=task.examples,
                task_id=task.id,
                instruction=task.text,
                input=instance.input,
                classification=task.classification,
            )


def _unsound(instance: Instance) -> str | None:
    """Why an instance goes by itself (filter_invalid_instances of prepare_for_finetuning.py)."""
    if not instance.output:
        return "empty_output"
    if instance.input == instance.output:
        return "output_is_input"
    for name, side in instance._asdict().items():
        if side.endswith(":"):
            return f"torn_{name}"
    return None


def _like_another(
    instance: Instance, before: Sequence[Instance], sound: Sequence[Instance]
) -> str | None:
    """Why an instance goes for another one's sake (section 2.2, "Filtering and Postprocessing").
    As in filter_duplicate_instances, outputs of no input may differ; that function drops all
    instances of a task two of which contradict each other, the paper and this one those two."""
    if instance in before:
        return "duplicate_instance"
    if instance.input and any(
        other.input == instance.input and other.output != instance.output for other in sound
    ):
        return "same_input_other_output"
    return None


def prepare(config: GenerateConfig) -> Run:
    """What makes records until there are enough (complete), or many batches in a row brought none
    (exhausted). Raises InputError for seeds that cannot be read."""
    settings = config.self_instruct
    assert settings is not None
    seeds = read_seed_tasks(settings.seeds)
    return lambda workshop: _SelfInstruct(workshop, settings, seeds).run()
