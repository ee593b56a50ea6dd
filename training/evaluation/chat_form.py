"""The chat template that questions are asked through."""

from __future__ import annotations

from schemas.errors import UsageError
from training.chat.formatter import ChatFormatter, find_formatter, open_formatter
from training.evaluation.subject import Subject


def chat_form(subject: Subject, template: str | None) -> ChatFormatter | None:
    """The formatter of `template`, of the model's own where that is None, or None where it has
    none. Raises UsageError or InputError for a template that is broken."""
    if template is not None:
        return open_formatter(template, subject.tokenizer)
    return find_formatter(subject.folder, subject.tokenizer)


def needed_chat_form(subject: Subject, template: str | None) -> ChatFormatter:
    """As `chat_form`. Raises UsageError where there is none."""
    found = chat_form(subject, template)
    if found is None:
        raise UsageError(f"{subject.folder}: has no chat template: name one with --template")
    return found
