from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.generate import generate
from schemas.errors import InputError, UsageError
from training.evaluation import gsm8k
from training.evaluation.chat_form import chat_form
from training.evaluation.final_number import flexible_number, same_number, strict_number
from training.evaluation.gsm8k import Problem, cut, prompt, read_problems
from training.evaluation.subject import Subject
from training.evaluation.task import Options

SOLUTIONS = [
    "2+2=<<2+2=4>>4 apples.\n#### 4",
    "So it is $1,234.50.",
    "#### -17",
    "#### 1,000.\nQuestion: and 7?",
    "The answer is 12 apples and 3.5 pears",
    "nothing",
    "#### $5",
    "it is 7.",
    "a-3 b",
    "1 2 .",
    "#### 3 #### 4",
    "$ , .",
    "Costs -$40",
]
GOLD = ["4", "1234.50", "-17", "1000", "3.5", "5", "$5", "7", "-3", "2", "3", "40"]


def test_extraction_is_that_of_lm_eval() -> None:
    extraction = pytest.importorskip("lm_eval.filters.extraction")
    metrics = pytest.importorskip("lm_eval.api.metrics")
    ways = (
        (strict_number, extraction.RegexFilter(r"#### (\-?[0-9\.\,]+)", group_select=0)),
        (
            flexible_number,
            extraction.RegexFilter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1),
        ),
    )
    for ours, theirs in ways:
        taken = [found[0] for found in theirs.apply([[text] for text in SOLUTIONS], None)]
        mine = [ours(text) for text in SOLUTIONS]
        assert mine == [None if text == "[invalid]" else text.strip() for text in taken]
        for found, text in zip(mine, taken, strict=True):
            for gold in GOLD:
                said = metrics.exact_match_hf_evaluate(
                    predictions=[text],
                    references=[f"so\n#### {gold}"],
                    regexes_to_ignore=[",", "\\$", "(?s).*#### ", "\\.$"],
                    ignore_case=True,
                )
                assert same_number(found, gold) == bool(said["exact_match"])


def test_every_solution_of_the_training_file_is_right(shared_data: Path) -> None:
    path = shared_data / "train" / "gsm8k_train.jsonl.gz"
    problems = read_problems(path, None)
    assert len(problems) == 7473
    assert all(same_number(flexible_number(p.solution), p.number) for p in problems)
    with gzip.open(path, "rt") as lines:
        first = json.loads(next(lines))
    assert problems[0].question == first["question"]
    assert problems[0].number == "72"


def test_a_prompt_holds_the_examples_and_then_the_question() -> None:
    examples = [Problem("", "a?", "b\n#### 1", "1"), Problem("", "c?", "#### 2", "2")]
    assert prompt(examples, "d?") == (
        "Question: a?\nAnswer: b\n#### 1\n\nQuestion: c?\nAnswer: #### 2\n\nQuestion: d?\nAnswer:"
    )
    assert cut("so #### 4\n\nQuestion: more #### 5") == "so #### 4\n\n"
    assert cut("so") == "so"


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_answers_of_a_batch_are_those_of_each_alone(subject: Subject, tmp_path: Path) -> None:
    rows = [{"question": "q" * n, "answer": f"so\n#### {n}"} for n in (1, 9, 30)]
    data = write(tmp_path / "q.jsonl", rows)
    result = gsm8k.run(subject, Options(data=data, max_new_tokens=12))
    assert result.settings["shots"] == 0
    for row, found in zip(rows, result.rows, strict=True):
        ids = list(f"Question: {row['question']}\nAnswer:".encode())
        (alone,) = generate(subject.decoder, [ids], max_new_tokens=12, temperature=0, eos_id=256)
        assert found["answer"] == subject.tokenizer.decode(alone.tokens)
        assert found["expected"] == row["answer"][-len(found["expected"]) :]
        assert not found["strict"]


def test_more_new_tokens_than_the_window_are_refused(subject: Subject, tmp_path: Path) -> None:
    data = write(tmp_path / "q.jsonl", [{"question": "q", "answer": "so\n#### 1"}])
    new = subject.decoder.longest
    with pytest.raises(UsageError, match=f"--max-new-tokens {new}: the model has room for {new}"):
        gsm8k.run(subject, Options(data=data, max_new_tokens=new))


def test_a_chat_template_is_asked_through(chatty: Subject, tmp_path: Path) -> None:
    rows = [{"question": f"{n} and <eos>?", "answer": f"so\n#### {n}"} for n in (1, 20)]
    data = write(tmp_path / "q.jsonl", rows)
    examples = write(tmp_path / "e.jsonl", [{"question": "a?", "answer": "b\n#### 1"}])
    options = Options(data=data, examples=examples, shots=1, max_new_tokens=12)
    result = gsm8k.run(chatty, options)
    assert str(result.settings["chat_template"]).endswith("chat_template.jinja")
    for row, found in zip(rows, result.rows, strict=True):
        ids = [
            *b"[user]Question: a?\nAnswer:[assistant]b\n#### 1",
            *(256, *b"[user]Question: ", *row["question"].encode(), *b"\nAnswer:[assistant]"),
        ]
        (alone,) = generate(chatty.decoder, [ids], max_new_tokens=12, temperature=0, eos_id=256)
        assert found["answer"] == cut(chatty.tokenizer.decode(alone.tokens))
    raw = gsm8k.run(chatty, replace(options, chat=False))
    assert raw.settings["chat_template"] is None
    assert [row["answer"] for row in raw.rows] != [row["answer"] for row in result.rows]


def test_a_template_may_be_named_or_needed(subject: Subject, tmp_path: Path) -> None:
    data = write(tmp_path / "q.jsonl", [{"question": "1?", "answer": "#### 1"}])
    options = Options(data=data, max_new_tokens=4)
    assert gsm8k.run(subject, options).settings["chat_template"] is None
    named = gsm8k.run(subject, replace(options, template="plain"))
    assert named.settings["chat_template"] == "plain"
    with pytest.raises(UsageError, match="has no chat template"):
        gsm8k.run(subject, replace(options, chat=True))


def test_every_stop_token_of_a_template_ends_an_answer(
    chatty: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def seen(*_: object, **how: Any) -> list[str]:
        asked.update(how)
        return [""]

    monkeypatch.setattr(gsm8k, "greedy_answers", seen)
    formatter = chat_form(chatty, None)
    assert formatter is not None
    formatter.stop_ids = frozenset((7, 256))
    monkeypatch.setattr(gsm8k, "chat_form", lambda *_: formatter)
    data = write(tmp_path / "q.jsonl", [{"question": "1?", "answer": "#### 1"}])
    gsm8k.run(chatty, Options(data=data, max_new_tokens=4))
    assert asked["stop_ids"] == {7, 256}


def test_examples_are_the_first_records(subject: Subject, tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "answer": f"#### {n}"} for n in range(3)]
    examples = write(tmp_path / "examples.jsonl", rows)
    data = write(tmp_path / "q.jsonl", rows[:1])
    options = Options(data=data, examples=examples, shots=2, max_new_tokens=8)
    assert gsm8k.run(subject, options).settings["shots"] == 2
    with pytest.raises(UsageError, match="--shots 8: .* has 3 records"):
        gsm8k.run(subject, Options(data=data, examples=examples))
    with pytest.raises(UsageError, match="--shots 4: --examples FILE"):
        gsm8k.run(subject, Options(data=data, shots=4))
    with pytest.raises(InputError, match="record 1: question: .* tokens with its examples"):
        gsm8k.run(subject, Options(data=data, max_new_tokens=250))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "a?"}, "record 1: answer: is missing"),
        ({"question": "a?", "answer": "four"}, "record 1: answer: ends with no"),
        ({"question": "", "answer": "#### 4"}, "record 1: question:"),
    ],
)
def test_a_bad_record_is_named(
    row: dict[str, str], said: str, subject: Subject, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        gsm8k.run(subject, Options(data=write(tmp_path / "q.jsonl", [row])))
