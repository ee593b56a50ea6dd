"""The folder of a generation run: whose it is, and what a run that ends early leaves in it."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from schemas.errors import InputError, OutputError, UsageError
from training.folder_lock import locked_folder
from training.instruct.config import GenerateConfig
from training.instruct.generate import generate
from training.instruct.requests import Answer, Request


class Scripted:
    """A model that changes every task and answers it."""

    identity = {"model": "scripted"}  # noqa: RUF012
    concurrency = 1

    def answer(self, request: Request, stopped: Event) -> Answer:
        """Depends on the prompt alone."""
        prompt = request.prompt
        if "<task>" in prompt:
            task = prompt.split("<task>\n")[1].split("\n</task>")[0]
            return Answer(f"{task} Say why.", "stop", 1, 1)
        if prompt.startswith("Do these two tasks"):
            return Answer("No", "stop", 1, 1)
        return Answer(f"Answered: {prompt}", "stop", 1, 1)

    def close(self) -> None:
        """Nothing is open."""


def config_of(folder: Path, *seeds: str, **keys: Any) -> GenerateConfig:
    """Two records a batch, two batches a round."""
    path = folder / "seeds.jsonl"
    turns = [[{"role": "user", "content": seed}] for seed in seeds]
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in turns))
    section = {"seeds": str(path), "rounds": 2, **keys.pop("section", {})}
    tree = {"method": "evol_instruct", "count": 100, "batch": 2, "evol_instruct": section, **keys}
    model = {"endpoint": "http://localhost:1/v1", "name": "tiny"}
    return GenerateConfig.model_validate({"output": str(folder / "out"), "model": model, **tree})


SEEDS = ("Name a river.", "Count to ten.", "Boil an egg.", "Fold a kite.")


def test_a_folder_of_other_seeds_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, *SEEDS)
    generate(config, Scripted())
    before = (tmp_path / "out/instructions.jsonl").read_bytes()
    generate(config, Scripted())
    config = config_of(tmp_path, "Plant a tree.", *SEEDS[1:])
    with pytest.raises(UsageError, match=r"seeds\.jsonl has changed") as refused:
        generate(config, Scripted())
    assert "\n" not in str(refused.value)
    assert (tmp_path / "out/instructions.jsonl").read_bytes() == before


def test_a_folder_takes_one_process_and_forgets_its_summary(tmp_path: Path) -> None:
    config = config_of(tmp_path, *SEEDS)
    generate(config, Scripted())
    with (
        locked_folder(tmp_path / "out", ".lock", "makes instructions"),
        pytest.raises(OutputError, match="another process makes instructions in it"),
    ):
        generate(config, Scripted())
    assert (tmp_path / "out/summary.json").exists()
    (tmp_path / "out/answers.jsonl").unlink()
    (tmp_path / "out/answers.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"answers\.jsonl: Is a directory"):
        generate(config, Scripted())
    assert not (tmp_path / "out/summary.json").exists()


def test_the_key_that_differs_is_named(tmp_path: Path) -> None:
    generate(config_of(tmp_path, *SEEDS), Scripted())
    with pytest.raises(UsageError, match=r"another evol_instruct\.rounds"):
        generate(config_of(tmp_path, *SEEDS, section={"rounds": 3}), Scripted())


def test_nothing_is_claimed_before_all_is_checked(tmp_path: Path) -> None:
    section: dict[str, Any] = {"operations": ["deepen", "deeper"]}
    with pytest.raises(UsageError, match="'deeper' is none of"):
        generate(config_of(tmp_path, *SEEDS, section=section), Scripted())
    section = {"seeds": str(tmp_path / "none.jsonl")}
    with pytest.raises(InputError, match=r"none\.jsonl"):
        generate(config_of(tmp_path, *SEEDS, section=section), Scripted())
    broken = config_of(tmp_path, *SEEDS)
    (tmp_path / "seeds.jsonl").write_text("{broken\n")
    with pytest.raises(InputError, match="record 1"):
        generate(broken, Scripted())
    model = {"folder": str(tmp_path / "no-model")}
    with pytest.raises((UsageError, InputError)):
        generate(config_of(tmp_path, *SEEDS, model=model))
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_broken_off_leaves_no_half_file(tmp_path: Path) -> None:
    def broken_off(line: str) -> None:
        raise KeyboardInterrupt

    config = config_of(tmp_path, *SEEDS)
    with pytest.raises(KeyboardInterrupt):
        generate(config, Scripted(), broken_off)
    assert not (tmp_path / "out/instructions.jsonl").exists()
    generate(config, Scripted())
    whole = (tmp_path / "out/instructions.jsonl").read_bytes()
    assert len(whole.splitlines()) == 8
    with pytest.raises(KeyboardInterrupt):
        generate(config, Scripted(), broken_off)
    assert (tmp_path / "out/instructions.jsonl").read_bytes() == whole
    generate(config, Scripted())
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.endswith(".part")]


def test_a_damaged_folder_is_one_line(tmp_path: Path) -> None:
    config = config_of(tmp_path, *SEEDS)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="is not a folder"):
        generate(config, Scripted())
    (tmp_path / "out").unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json.*choose another output"):
        generate(config, Scripted())
