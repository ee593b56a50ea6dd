"""Grade-school word problems (Cobbe et al., arXiv 2110.14168): a greedy solution, one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from schemas.chat import Message
from schemas.errors import InputError, UsageError
from training.chat.formatter import ChatFormatter
from training.evaluation.answers import greedy_answers
from training.evaluation.chat_form import chat_form, needed_chat_form
from training.evaluation.final_number import flexible_number, same_number, strict_number
from training.evaluation.records import read_records, text_field
from training.evaluation.subject import Subject
from training.evaluation.task import Options, Result, share
from training.tokenizers import prompt_tokens

SHOTS = 8
"""Of Wei et al. (arXiv 2201.11903, section 3.1), where examples are given."""

STOPS = ("Question:", "</s>", "<|im_end|>")
"""Text that ends a solution, as in lm-eval's task: a model may go on to a question of its own."""


class Problem(NamedTuple):
    """A question and its worked solution, which ends with `#### NUMBER`."""

    place: str
    question: str
    solution: str
    number: str


def run(subject: Subject, options: Options) -> Result:
    """Exact match of the final number, by strict and by flexible extraction.

    A model with a chat template (or `template`) is asked through it, with an example as a turn and
    its answer, unless `chat` is False. Raises InputError with the record and the field, UsageError
    for more shots than examples, and where `chat` is True and there is no template.
    """
    path = options.needs_data("a JSONL file of {question, answer}")
    problems = read_problems(path, options.limit)
    examples = _examples(options)
    formatter = _formatter(subject, options)
    prompts = []
    new = options.answer_tokens(subject)
    room = subject.decoder.longest - new
    for problem in problems:
        tokens = _tokens(subject, formatter, examples, problem)
        if len(tokens) > room:
            raise InputError(
                f"{problem.place}: question: {len(tokens)} tokens with its examples, and the model "
                f"has room for {room}: take fewer --shots or --max-new-tokens"
            )
        prompts.append(tokens)
    answers = greedy_answers(
        subject.decoder,
        subject.tokenizer,
        prompts,
        max_new_tokens=new,
        stop_ids={subject.tokenizer.eos_id} if formatter is None else formatter.stop_ids,
        batch_size=options.batch_size,
    )
    rows = [_row(problem, cut(text)) for problem, text in zip(problems, answers, strict=True)]
    figures = [
        share(name, sum(row[name] for row in rows), len(rows)) for name in ("strict", "flexible")
    ]
    settings = {
        "data": str(path),
        "shots": len(examples),
        "max_new_tokens": new,
        "chat_template": None if formatter is None else formatter.template.name,
    }
    return Result(figures, len(rows), settings, rows)


def read_problems(path: Path, limit: int | None) -> list[Problem]:
    """`question` and `answer` of each record. Raises InputError where no number ends the answer."""
    return [_problem(place, values) for place, values in read_records(path, limit)]


def prompt(examples: Sequence[Problem], question: str) -> str:
    """Worked examples, and the question to answer."""
    worked = [f"Question: {one.question}\nAnswer: {one.solution}\n\n" for one in examples]
    return "".join(worked) + f"Question: {question}\nAnswer:"


def turns(examples: Sequence[Problem], question: str) -> list[Message]:
    """The same as turns of a conversation, as lm-eval forms them for a chat template."""
    worked = [
        Message(role=role, content=text)
        for one in examples
        for role, text in (("user", prompt((), one.question)), ("assistant", one.solution))
    ]
    return [*worked, Message(role="user", content=prompt((), question))]


def cut(text: str) -> str:
    """The text before the first of STOPS."""
    return text[: min((at for stop in STOPS if (at := text.find(stop)) >= 0), default=len(text))]


def _formatter(subject: Subject, options: Options) -> ChatFormatter | None:
    if options.chat is False:
        return None
    form = needed_chat_form if options.chat else chat_form
    return form(subject, options.template)


def _tokens(
    subject: Subject,
    formatter: ChatFormatter | None,
    examples: Sequence[Problem],
    problem: Problem,
) -> list[int]:
    if formatter is None:
        text = prompt(examples, problem.question)
        return prompt_tokens(subject.tokenizer, text, bos=subject.bos)
    try:
        return formatter.prompt(turns(examples, problem.question))
    except InputError as error:
        raise InputError(f"{problem.place}: {error}") from error


def _examples(options: Options) -> list[Problem]:
    if options.examples is None:
        if options.shots:
            raise UsageError(f"--shots {options.shots}: --examples FILE must say of what")
        return []
    shots = SHOTS if options.shots is None else options.shots
    found = read_problems(options.examples, shots) if shots else []
    if len(found) < shots:
        raise UsageError(f"--shots {shots}: {options.examples} has {len(found)} records")
    return found


def _problem(place: str, values: Mapping[str, Any]) -> Problem:
    question = text_field(place, values, "question")
    solution = text_field(place, values, "answer")
    number = strict_number(solution)
    if number is None:
        raise InputError(f"{place}: answer: ends with no `#### NUMBER`")
    return Problem(place, question, solution, number)


def _row(problem: Problem, text: str) -> dict[str, Any]:
    return {
        "question": problem.question,
        "answer": text,
        "expected": problem.number,
        "strict": int(same_number(strict_number(text), problem.number)),
        "flexible": int(same_number(flexible_number(text), problem.number)),
    }
