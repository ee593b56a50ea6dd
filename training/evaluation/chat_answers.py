"""Exact match on a file of conversations, as supervised fine-tuning reports it."""

from __future__ import annotations

from itertools import islice

from schemas.errors import InputError, UsageError
from training.chat.formatter import find_formatter, open_formatter
from training.chat.reading import read_conversations
from training.evaluation.exact_match import exact_match
from training.evaluation.subject import Subject
from training.evaluation.task import Options, Result, share


def run(subject: Subject, options: Options) -> Result:
    """Share of conversations whose last answer is given word for word.

    The chat template is the model's own, or `template`. Raises InputError with the record, and
    UsageError where there is no template.
    """
    path = options.needs_data("a file of conversations")
    if options.template is not None:
        formatter = open_formatter(options.template, subject.tokenizer)
    else:
        found = find_formatter(subject.folder, subject.tokenizer)
        if found is None:
            raise UsageError(f"{subject.folder}: has no chat template: name one with --template")
        formatter = found
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
