"""Self-Instruct's questions to a model, and how its answers are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from training.instruct.seeds import SeedTask

NEW_TASKS = 8
"""Tasks that one answer is asked for: Self-Instruct's prompts end at number 16 of which 8 are
given."""

_BOLD = r"(?:\*\*|__|\*)"


def _head(name: str) -> re.Pattern[str]:
    """`Input:` at the beginning of a line, in Markdown's bold or as its heading, too."""
    bold = rf"{_BOLD}\s*{name}\s*(?::\s*{_BOLD}|{_BOLD}\s*:)"
    return re.compile(rf"^\s*(?:#+\s*)?(?:{bold}|{name}\s*:)\s*", re.IGNORECASE | re.MULTILINE)


_ITEM = re.compile(
    rf"^\s*(?P<open>{_BOLD})?(?:task\s*)?\d+\s*(?P<within>{_BOLD})?[.):]\s*?"
    rf"(?P<after>{_BOLD}(?=\s|$))?\s*(?P<text>.*)$",
    re.IGNORECASE,
)
_INPUT, _OUTPUT, _LABEL = _head("input"), _head("output"), _head(r"(?:class\s+)?label")
_EXAMPLE = re.compile(
    rf"^\s*(?:#+\s*)?{_BOLD}?\s*example\s*\d*\s*[:.]?\s*{_BOLD}?\s*[:.]?\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_RULE_AT_END = re.compile(r"\n\s*-{3,}\s*\Z")
_NO_INPUT = re.compile(r"\W*(?:none|no ?input|n/?a|empty)\W*|", re.IGNORECASE)


class Instance(NamedTuple):
    """A task's input, which may be empty, and its output."""

    input: str
    output: str


def ask_for_tasks(examples: Sequence[str]) -> str:
    """Examples of tasks, and the wish for more."""
    listed = "\n".join(f"{n}. {' '.join(task.split())}" for n, task in enumerate(examples, 1))
    first, last = len(examples) + 1, len(examples) + NEW_TASKS
    return (
        "Here are tasks that people give to a language model that reads and writes text only.\n\n"
        f"{listed}\n\n"
        f"Go on with tasks {first} to {last}. Each must differ in subject and kind from those "
        "above and from each other, and must be solvable with text alone. Write one task after "
        "its number, without a solution."
    )


def read_tasks(answer: str, cut: bool) -> list[str]:
    """The numbered items of an answer; of one that was cut, without the last."""
    tasks: list[list[str]] = []
    for line in answer.splitlines():
        item = _ITEM.match(line)
        if item:
            tasks.append([_text(item)])
        elif tasks and line.strip():
            tasks[-1].append(line)
    if cut:
        tasks = tasks[:-1]
    return [text for lines in tasks if (text := " ".join(" ".join(lines).split()))]


def _text(item: re.Match[str]) -> str:
    text = item["text"]
    still_bold = item["open"] and not (item["within"] or item["after"])
    return text.replace(item["open"], "", 1) if still_bold else text


def ask_for_kind(task: str, examples: Sequence[SeedTask]) -> str:
    """Is a task classification, where the outputs are a few labels?"""
    shown = "\n\n".join(
        f"Task: {example.instruction}\nAnswer: {'Yes' if example.classification else 'No'}"
        for example in examples
    )
    return (
        "Can this task be seen as classification, with a small set of output labels? Answer with "
        f"Yes or No alone.\n\n{shown}\n\nTask: {task}\nAnswer:"
    )


def read_kind(answer: str) -> bool | None:
    """Yes, no, or None for an answer that is neither; `Answer:` may stand before it."""
    words = re.sub(r"[^a-z]", " ", answer.lower()).split()
    first = next((word for word in words if word not in ("the", "answer", "is")), "")
    return {"yes": True, "no": False}.get(first)


def ask_for_instances(
    task: str, examples: Sequence[SeedTask], classification: bool, count: int
) -> str:
    """Input first, or for classification the label first: asked for inputs first, models give
    inputs of one label only (section 2.2)."""
    if classification:
        shown = "\n\n".join(
            f"Task: {e.instruction}\nLabel: {e.output}\nInput: {e.input or 'None'}"
            for e in examples
        )
        wish = (
            f"Give {count} examples of the last task, each with another label where there are "
            'labels left. Write a line "Label:" with one possible output, and then a line '
            '"Input:" with an input that has this output; "Input: None" where the task needs none.'
        )
    else:
        shown = "\n\n".join(
            f"Task: {e.instruction}\nInput: {e.input or 'None'}\nOutput: {e.output}"
            for e in examples
        )
        wish = (
            f'Give {count} examples of the last task. Write a line "Input:" with the input, '
            '"Input: None" where the task needs none, and then a line "Output:" with the right '
            "output."
        )
    return f"{shown}\n\nTask: {task}\n\n{wish}"


def read_instances(answer: str, classification: bool, cut: bool = False) -> list[Instance]:
    """Pairs of input and output in an answer; of one that was cut, without the last piece, since
    nobody knows whether it is whole."""
    text = _EXAMPLE.sub("", answer)
    first, second = (_LABEL, _INPUT) if classification else (_INPUT, _OUTPUT)
    if not classification and not _INPUT.search(text):
        # A model that leaves a missing input out.
        text = _OUTPUT.sub("Input: None\nOutput: ", text)
    pieces = first.split(text)[1:]
    instances = []
    for piece in pieces[:-1] if cut else pieces:
        sides = second.split(piece, maxsplit=1)
        if len(sides) != 2:
            continue
        left, right = (_RULE_AT_END.sub("", side).strip() for side in sides)
        input, output = (right, left) if classification else (left, right)
        instances.append(Instance("" if _NO_INPUT.fullmatch(input) else input, output))
    return instances
