"""Tasks and instructions that people wrote, from which models go on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.errors import InputError
from training.chat.reading import read_conversations, read_rows

SEED_TASKS = "seed_tasks"


class SeedTask(NamedTuple):
    """A task with one example of it."""

    id: str
    instruction: str
    input: str
    output: str
    classification: bool


class SeedInstruction(NamedTuple):
    """An instruction as a user would write it, its input included."""

    id: str
    text: str


def read_seed_tasks(path: str) -> list[SeedTask]:
    """Self-Instruct's seed tasks: id, instruction, instances [{input, output}],
    is_classification. Raises InputError in one line with the record's number."""
    tasks = [_task(path, number, row) for number, row in read_rows(path)]
    if not tasks:
        raise InputError(f"{path}: there are no seed tasks")
    return tasks


def seeds_sha256(path: str) -> str:
    """Of the file's bytes: other seeds under the same name are another run. Raises InputError."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _task(path: str, number: int, row: Mapping[str, Any]) -> SeedTask:
    place = f"{path}: record {number}"
    instruction = row.get("instruction")
    if not isinstance(instruction, str) or not instruction.strip():
        raise InputError(f"{place}: instruction: a text is needed")
    instances = row.get("instances")
    if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
        raise InputError(f"{place}: instances: a list of objects with input and output is needed")
    output = instances[0].get("output")
    if not isinstance(output, str):
        raise InputError(f"{place}: instances[0].output: a text is needed")
    return SeedTask(
        str(row.get("id") or f"seed_{number}"),
        instruction.strip(),
        str(instances[0].get("input") or "").strip(),
        output.strip(),
        bool(row.get("is_classification")),
    )


def read_seed_instructions(path: str, format: str) -> list[SeedInstruction]:
    """The first user message of each conversation, or of each seed task. Raises InputError."""
    if format == SEED_TASKS:
        return [
            SeedInstruction(t.id, with_input(t.instruction, t.input)) for t in read_seed_tasks(path)
        ]
    found = []
    for number, conversation in read_conversations(path, format):
        text = next((m.content for m in conversation.messages if m.role == "user"), "").strip()
        if text:
            found.append(SeedInstruction(conversation.id or f"seed_{number}", text))
    if not found:
        raise InputError(f"{path}: no conversation has a message of a user")
    return found


def with_input(instruction: str, input: str) -> str:
    """A task as one message."""
    return f"{instruction}\n\n{input}" if input else instruction
