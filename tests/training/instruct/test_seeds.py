"""Seed tasks and instructions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import InputError
from training.instruct.seeds import read_seed_instructions, read_seed_tasks


def test_the_published_seed_tasks(shared_data: Path) -> None:
    path = str(shared_data / "train/self_instruct_seed_tasks.jsonl.gz")
    tasks = read_seed_tasks(path)
    assert len(tasks) == 175
    assert len({task.id for task in tasks}) == 175
    assert sum(task.classification for task in tasks) == 26
    texts = read_seed_instructions(path, "seed_tasks")
    assert texts[1].text.endswith("\n\nNight : Day :: Right : Left")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instances": []}, "record 1: instruction"),
        ({"instruction": "a", "instances": []}, "record 1: instances"),
        ({"instruction": "a", "instances": [{"output": 3}]}, r"record 1: instances\[0\].output"),
    ],
    ids=["instruction", "instances", "output"],
)
def test_what_is_no_seed_task(row: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=said):
        read_seed_tasks(str(path))


def test_instructions_of_conversations(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " Name a river. "},
        {"role": "assistant", "content": "The Elbe."},
    ]
    path.write_text(json.dumps({"messages": turns}) + "\n")
    assert read_seed_instructions(str(path), "messages") == [("seed_1", "Name a river.")]
    path.write_text(json.dumps({"messages": turns[2:]}) + "\n")
    with pytest.raises(InputError, match="no conversation has a message of a user"):
        read_seed_instructions(str(path), "messages")
