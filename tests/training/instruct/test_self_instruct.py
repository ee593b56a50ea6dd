"""Self-Instruct's turns against a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from training.instruct.config import GenerateConfig
from training.instruct.generate import generate
from training.instruct.requests import Answer, Request


class Scripted:
    """One new task, whose instances a test gives."""

    identity = {"model": "scripted"}  # noqa: RUF012
    concurrency = 1

    def __init__(
        self,
        instances: Answer,
        dress: Callable[[str], str] = str,
        task: str = "Square the given number",
    ) -> None:
        self._instances = instances
        self._dress = dress
        self._task = task

    def answer(self, request: Request, stopped: Event) -> Answer:
        """Depends on the prompt alone."""
        if request.prompt.startswith("Here are tasks"):
            return Answer(self._dress(f"9. {self._task}"), "stop", 1, 1)
        if request.prompt.startswith("Can this task"):
            return Answer(self._dress("No"), "stop", 1, 1)
        return self._instances._replace(text=self._dress(self._instances.text))

    def close(self) -> None:
        """Nothing is open."""


def made(folder: Path, model: Scripted) -> tuple[list[Any], list[Any]]:
    """Records and rejections of one batch of one request."""
    seed = {"instruction": "Name a river of Europe", "instances": [{"input": "", "output": "Elbe"}]}
    (folder / "seeds.jsonl").write_text(json.dumps(seed) + "\n")
    config = GenerateConfig.model_validate(
        {
            "output": str(folder / "out"),
            "method": "self_instruct",
            "count": 9,
            "batch": 1,
            "patience": 1,
            "model": {"endpoint": "http://localhost:1/v1", "name": "tiny"},
            "self_instruct": {"seeds": str(folder / "seeds.jsonl"), "instances": 5},
        }
    )
    generate(config, model)
    return tuple(
        [json.loads(line) for line in (folder / "out" / name).read_text().splitlines()]
        for name in ("instructions.jsonl", "rejected.jsonl")
    )


def test_whole_pairs_of_a_cut_answer_are_kept(tmp_path: Path) -> None:
    text = "Input: 2\nOutput: 4\n\nInput: 3\nOutput: 9\n\nInput: 1"
    kept, rejected = made(tmp_path, Scripted(Answer(text, "length", 1, 1)))
    assert [(row["input"], row["messages"][1]["content"]) for row in kept] == [
        *(("2", "4"), ("3", "9")),
    ]
    torn = [row for row in rejected if row["reason"] == "truncated"]
    assert [row["answer"] for row in torn] == [text]


def test_a_last_pair_that_may_be_torn_is_not_kept(tmp_path: Path) -> None:
    text = "Input: 2\nOutput: 4\n\nInput: 12\nOutput: 14"
    kept, rejected = made(tmp_path, Scripted(Answer(text, "length", 1, 1)))
    assert [row["input"] for row in kept] == ["2"]
    assert "truncated" in [row["reason"] for row in rejected]


def test_thoughts_of_a_model_are_not_read(tmp_path: Path) -> None:
    def thinking(text: str) -> str:
        return f"<think>\n1. Square it?\nYes.\nInput: 7\nOutput: 7\n</think>\n\n{text}"

    model = Scripted(Answer("Input: 2\nOutput: 4", "stop", 1, 1), thinking)
    kept, rejected = made(tmp_path, model)
    assert [(row["instruction"], row["input"]) for row in kept] == [
        ("Square the given number", "2"),
    ]
    assert {row["reason"] for row in rejected} <= {"rouge_l"}


def test_outputs_of_no_input_may_differ(tmp_path: Path) -> None:
    text = "Input: None\nOutput: 4\n\nInput: None\nOutput: 9"
    kept, _ = made(tmp_path, Scripted(Answer(text, "stop", 1, 1)))
    assert [row["messages"][1]["content"] for row in kept] == ["4", "9"]


def test_instances_that_contradict_each_other_go(tmp_path: Path) -> None:
    text = "Input: 2\nOutput: 4\n\nInput: 2\nOutput: 5\n\nInput: 3\nOutput: 9"
    kept, rejected = made(tmp_path, Scripted(Answer(text, "stop", 1, 1)))
    assert [row["input"] for row in kept] == ["3"]
    assert [row["reason"] for row in rejected].count("same_input_other_output") == 2


def test_a_torn_instance_contradicts_nothing(tmp_path: Path) -> None:
    text = "Input: 2\nOutput:\n\nInput: 2\nOutput: 4\n\nInput: the number:\nOutput: 9"
    kept, rejected = made(tmp_path, Scripted(Answer(text, "stop", 1, 1)))
    assert [row["messages"][1]["content"] for row in kept] == ["4"]
    assert [row["reason"] for row in rejected][:2] == ["empty_output", "torn_input"]


def test_a_task_without_spaces_is_no_single_word(tmp_path: Path) -> None:
    model = Scripted(Answer("Input: None\nOutput: 好", "stop", 1, 1), task="写一首关于春天的诗")
    kept, _ = made(tmp_path, model)
    assert [row["instruction"] for row in kept] == ["写一首关于春天的诗"]
