from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import InputError
from tests.training.evaluation.test_likelihood import alone
from training.evaluation.likelihood import Request
from training.evaluation.multiple_choice import (
    METRICS,
    Question,
    answer,
    best,
    multiple_choice,
)
from training.evaluation.subject import Subject
from training.evaluation.task import Options, Result, wilson
from training.evaluation.tasks import TASKS

ROWS: list[dict[str, Any]] = [
    {"question": "What is wet?", "choices": ["Water", "Schönes Feuer", "A stone"], "answer": 0},
    {"question": "What is hot?", "choices": ["Ice", "Fire"], "answer": "B"},
    {"question": "What is hard?", "choices": ["A stone", "Fog", "Air", "Tea"], "answer": "A stone"},
]


def evaluated(subject: Subject, folder: Path, rows: list[dict[str, Any]]) -> Result:
    path = folder / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return multiple_choice(subject, Options(data=path))


def test_the_four_accuracies_by_hand(subject: Subject, tmp_path: Path) -> None:
    result = evaluated(subject, tmp_path, ROWS)
    right = dict.fromkeys(METRICS, 0)
    for row, gold, found in zip(ROWS, (0, 1, 0), result.rows, strict=True):
        context = f"Question: {row['question']}\nAnswer:".encode()
        texts = [" " + choice for choice in row["choices"]]
        sums = [
            alone(subject.decoder, Request(tuple(context), tuple(text.encode()))).logprob
            for text in texts
        ]
        assert found["logprobs"] == pytest.approx(sums, abs=1e-3)
        assert found["gold"] == gold
        for name, sizes in (
            ("acc", [1] * len(texts)),
            ("acc_norm", [len(choice) for choice in row["choices"]]),
            ("acc_bytes", [len(choice.encode()) for choice in row["choices"]]),
            ("acc_tokens", [len(text.encode()) for text in texts]),
        ):
            ratios = [s / n for s, n in zip(sums, sizes, strict=True)]
            right[name] += ratios.index(max(ratios)) == gold
    assert {figure.name: figure.value for figure in result.figures} == {
        name: pytest.approx(count / 3) for name, count in right.items()
    }
    figure = result.figures[0]
    assert (figure.low, figure.high) == wilson(round(figure.value * 3), 3)


def test_of_equal_choices_the_first_counts(subject: Subject, tmp_path: Path) -> None:
    assert best([1.0, 3.0, 3.0]) == 1
    same = {"question": "?", "choices": ["yes", "yes"]}
    result = evaluated(subject, tmp_path, [{**same, "answer": 0}, {**same, "answer": 1}])
    assert [row["acc"] for row in result.rows] == [1, 0]


def test_the_order_of_questions_has_no_say(subject: Subject) -> None:
    asked = [(str(n), Question("Q" * (n % 5 + 1), ("one", "two", "three"), 0)) for n in range(12)]
    found = answer(subject, asked, 7)
    again = answer(subject, asked[::-1], 36)[::-1]
    for first, second in zip(found, again, strict=True):
        assert [one.logprob for one in first] == pytest.approx(
            [o.logprob for o in second], abs=1e-4
        )


def test_wilson_against_published_figures() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857-872), table I, method 3."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"choices": ["a", "b"], "answer": 0}, "record 2: question: is missing"),
        ({"question": "?", "answer": 0}, "record 2: choices: is missing"),
        ({"question": "?", "choices": ["a"], "answer": 0}, "choices:.*no list of two or more"),
        ({"question": "?", "choices": ["a", 3], "answer": 0}, r"choices\[1\]: 3 is no text"),
        ({"question": "?", "choices": ["a", "b"], "answer": 2}, "answer: 2 is none of the 2"),
        ({"question": "?", "choices": ["a", "b"], "answer": "C"}, 'answer: "C" is none of the 2'),
        ({"question": "?", "choices": ["a", "b"], "answer": True}, "answer: true is none"),
        ({"question": "?", "choices": ["a", "b"]}, "answer: is missing"),
    ],
)
def test_a_bad_record_is_named(
    row: dict[str, Any], said: str, subject: Subject, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        evaluated(subject, tmp_path, [ROWS[0], row])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "begins", "ends"),
    [
        ("arc_easy", "Question: Which statement best explains", "?\nAnswer:"),
        ("piqa", "Question: How do I ready a guinea pig cage", "?\nAnswer:"),
        ("openbook_qa", "A person wants to start saving", "money is to"),
    ],
)
def test_benchmark_files_are_read(
    name: str, begins: str, ends: str, subject: Subject, shared_data: Path
) -> None:
    path = shared_data / "benchmarks" / f"{name}.jsonl.gz"
    result = TASKS[name].run(subject, Options(data=path, limit=3))
    assert result.items == 3
    assert result.rows[0]["context"].startswith(begins)
    assert result.rows[0]["context"].endswith(ends)
