"""ROUGE-L against Google's rouge-score."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from training.instruct.rouge import InstructionPool, rouge_l

SCORER = RougeScorer(["rougeL"], use_stemmer=False)


def theirs(left: str, right: str) -> float:
    return float(SCORER.score(left, right)["rougeL"].fmeasure)


@given(st.text("ab c.é-1", max_size=40), st.text("ab c.é-1", max_size=40))
def test_equals_rouge_score(left: str, right: str) -> None:
    assert rouge_l(f"{left} x", f"{right} y") == pytest.approx(
        theirs(f"{left} x", f"{right} y"), abs=1e-12
    )


def test_equals_rouge_score_on_seed_tasks(shared_data: Path) -> None:
    with gzip.open(shared_data / "train/self_instruct_seed_tasks.jsonl.gz", "rt") as lines:
        tasks = [json.loads(line)["instruction"] for line in lines][:60]
    for number, left in enumerate(tasks):
        for right in tasks[number:]:
            assert rouge_l(left, right) == pytest.approx(theirs(left, right), abs=1e-12)


def test_other_scripts_have_words_too() -> None:
    assert rouge_l("请写一首诗", "请写一首歌") == pytest.approx(0.8)


def test_a_latin_name_is_not_all_of_a_text_in_another_script() -> None:
    assert rouge_l("用Python写一个排序算法", "用Python做网页") < 0.5
    assert rouge_l("Как отсортировать список в Python?", "Почему Python медленный?") < 0.5
    assert rouge_l("Define the λ calculus", "Define the calculus") == pytest.approx(6 / 7)


def test_a_pool_finds_the_most_similar_from_the_threshold_on() -> None:
    pool = InstructionPool(0.7)
    pool.add("a", "name one river of the world")
    pool.add("b", "name ten rivers of the whole wide world")
    near = pool.like("Name ten rivers of the wide world!")
    assert near is not None
    assert near.id == "b"
    assert near.score == pytest.approx(
        theirs("name ten rivers of the wide world", "name ten rivers of the whole wide world")
    )
    assert pool.like("translate this sentence") is None
    pool.add("b", "something else entirely")
    again = pool.like("Name ten rivers of the whole wide world")
    assert again is not None
    assert again.score == 1
    exact = InstructionPool(0.5)
    exact.add("a", "a b c d")
    assert exact.like("a b x y") is not None
