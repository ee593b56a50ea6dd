"""Questions whose choices are ranked by their log-likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from schemas.errors import InputError
from training.evaluation.likelihood import Likelihood, likelihoods, numbers_only, request
from training.evaluation.records import choice_field, read_records, text_field, texts_field
from training.evaluation.subject import Subject
from training.evaluation.task import Options, Result, share

METRICS = ("acc", "acc_norm", "acc_bytes", "acc_tokens")


class Question(NamedTuple):
    """One item. What is scored is `delimiter` and choice after the context."""

    context: str
    choices: tuple[str, ...]
    gold: int
    delimiter: str = " "


Reader = Callable[[str, Mapping[str, Any]], Question]
"""(place of the record, its fields) -> question; raises InputError."""


def run(reader: Reader, subject: Subject, options: Options) -> Result:
    """Accuracies of a file's questions, by four ways to compare choices.

    `acc`: the sum of log-probabilities; `acc_norm`: that a character of the choice, without the
    delimiter (so lm-eval defines it); `acc_bytes`: a byte of UTF-8; `acc_tokens`: a token. Of equal
    choices the first one counts. Raises InputError with the record and the field.
    """
    path = options.needs_data("a JSONL file of questions")
    asked = [(place, reader(place, v)) for place, v in read_records(path, options.limit)]
    found = answer(subject, asked, options.batch_size)
    rows = [_row(question, scores) for (_, question), scores in zip(asked, found, strict=True)]
    figures = [share(name, sum(row[name] for row in rows), len(rows)) for name in METRICS]
    return Result(figures, len(rows), {"data": str(path)}, rows)


def answer(
    subject: Subject, asked: Sequence[tuple[str, Question]], batch_size: int
) -> list[list[Likelihood]]:
    """Log-likelihoods of each question's choices; the context is computed once for all of them."""
    requests = []
    for place, question in asked:
        for number, choice in enumerate(question.choices):
            try:
                one = request(
                    subject.tokenizer,
                    question.context,
                    question.delimiter + choice,
                    bos=subject.bos,
                )
            except InputError as error:
                raise InputError(f"{place}: choices[{number}]: {error}") from error
            if len(one.continuation) > subject.decoder.longest:
                raise InputError(
                    f"{place}: choices[{number}]: {len(one.continuation)} tokens, and the model "
                    f"has room for {subject.decoder.longest}"
                )
            requests.append(one)
    found = iter(numbers_only(likelihoods(subject.decoder, requests, batch_size)))
    return [[next(found) for _ in question.choices] for _, question in asked]


def best(values: Sequence[float]) -> int:
    """The first of the largest."""
    return max(range(len(values)), key=lambda number: values[number])


def _row(question: Question, scores: Sequence[Likelihood]) -> dict[str, Any]:
    sums = [one.logprob for one in scores]
    sizes = {
        "acc": [1] * len(sums),
        "acc_norm": [len(choice) for choice in question.choices],
        "acc_bytes": [len(choice.encode()) for choice in question.choices],
        "acc_tokens": [one.tokens for one in scores],
    }
    right = {
        name: int(best([s / n for s, n in zip(sums, size, strict=True)]) == question.gold)
        for name, size in sizes.items()
    }
    return {
        "context": question.context,
        "choices": list(question.choices),
        "gold": question.gold,
        "logprobs": sums,
        **right,
    }


def _with_answer(place: str, values: Mapping[str, Any]) -> Question:
    """`{query, choices, gold}` as ARC and PIQA files have them: the query begins with "Question:"
    and "Answer:" follows, as in lm-eval's prompts."""
    choices = texts_field(place, values, "choices")
    query = text_field(place, values, "query").rstrip("\n")
    gold = choice_field(place, values, choices, "gold")
    return Question(f"{query}\nAnswer:", choices, gold)


def _bare(place: str, values: Mapping[str, Any]) -> Question:
    """OpenBookQA: choices end the sentence that the query begins, as in lm-eval's prompts."""
    choices = texts_field(place, values, "choices")
    query = text_field(place, values, "query")
    return Question(query, choices, choice_field(place, values, choices, "gold"))


def _generic(place: str, values: Mapping[str, Any]) -> Question:
    """`{question, choices, answer}`; `answer` is a number from 0, a letter, or the choice."""
    choices = texts_field(place, values, "choices")
    question = text_field(place, values, "question")
    gold = choice_field(place, values, choices, "answer")
    return Question(f"Question: {question}\nAnswer:", choices, gold)


arc_easy = partial(run, _with_answer)
piqa = partial(run, _with_answer)
openbook_qa = partial(run, _bare)
multiple_choice = partial(run, _generic)
