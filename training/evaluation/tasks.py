"""The tasks by name."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

from schemas.errors import UsageError
from training.evaluation import chat_answers, gsm8k, multiple_choice, passkey, perplexity
from training.evaluation.task import Task

TASKS: dict[str, Task] = {
    "perplexity": Task(
        "nats a token, perplexity, bits a byte of --data: JSONL, text, manifest.json",
        perplexity.run,
    ),
    "arc_easy": Task("{query, choices, gold}; 'Answer:' follows", multiple_choice.arc_easy),
    "piqa": Task("{query, choices, gold}; 'Answer:' follows", multiple_choice.piqa),
    "openbook_qa": Task("{query, choices, gold}; choices go on", multiple_choice.openbook_qa),
    "multiple_choice": Task("{question, choices, answer}", multiple_choice.multiple_choice),
    "gsm8k": Task("{question, answer}: greedy, strict and flexible number", gsm8k.run),
    "exact_match": Task("conversations: the last answer, word for word", chat_answers.run),
    "passkey": Task("keys found by --lengths and depth; makes its texts", passkey.run, False),
}

HARNESS = "lm_eval/"
"""In front of the name of one of lm-eval's tasks."""


def find_task(name: str) -> Task:
    """The task of that name, ours or `lm_eval/NAME`. Raises UsageError."""
    if name in TASKS:
        return TASKS[name]
    if not name.startswith(HARNESS):
        raise UsageError(f"--task {name} is none of {', '.join(TASKS)}, {HARNESS}NAME")
    if find_spec("lm_eval") is None:
        raise UsageError("lm_eval is not installed: pip install 'corpusmill[eval]'")
    from training.evaluation import harness

    own = name.removeprefix(HARNESS)
    return Task(f"lm-eval's {own}", partial(harness.run, own), reads_data=False)
