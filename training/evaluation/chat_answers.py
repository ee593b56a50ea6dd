"""Exact match on a file of conversations, as supervised fine-tuning reports it."""

from __future__ import annotations

from itertools import islice

from schemas.errors import InputError
from training.chat.reading import read_conversations
from training.evaluation.chat_form import needed_chat_form
from training.evaluation.exact_match import exact_match
from training.evaluation.subject import Subject
from training.evaluation.task import Options, Result, share


def run(subject: Subject, options: Options) -> Result:
    """Share of conversations whose last answer is given word for word.

    The chat template is the model's own, or `template`. Raises InputError with the record, and
    UsageError where there is no template.
    """
    path = options.needs_data("a file of conversations")
    formatter = needed_chat_form(subject, options.template)
    new = options.answer_tokens(subject)
    read = (one for _, one in read_conversations(path, options.format))
    try:
        match = exact_match(
            subject.decoder,
            formatter,
            islice(read, options.limit),
            max_new_tokens=new,
            batch_size=options.batch_size,
        )
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith(str(path)) else f"{path}: {said}") from error
    if not match.total:
        raise InputError(f"{path}: holds no record")
    settings = {"data": str(path), "max_new_tokens": new}
    return Result(
        [share("exact_match", match.correct, match.total)],
        match.total,
        settings,
        [{**row, "exact_match": int(row["answer"] == row["expected"])} for row in match.rows],
    )
