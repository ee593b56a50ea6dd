"""`corpusmill trace` on a run of fine-tuning: from a step back to records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import run
from schemas.errors import InputError
from tests.builders.conversations import chat, config, sums, write_records
from training.sft.stage import sft
from training.sft.trace import open_run


def records(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    "data",
    [{}, {"packing": "best_fit"}, {"group_by_length": True}],
    ids=["apart", "packed", "grouped"],
)
def test_a_step_is_made_of_what_is_listed(
    tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    long = chat("an old question", "an old answer", "a new one", "and its answer")
    first = write_records(tmp_path / "a.jsonl", [chat("nothing", ""), *sums(9), long])
    second = write_records(tmp_path / "b.jsonl", sums(7, first=50))
    third = write_records(tmp_path / "c.jsonl", sums(5, first=80))
    tasks = {"one": {"files": [str(first), str(second)]}, "other": {"files": str(third)}}
    settings = config(tmp_path, data={"train": tasks, "sequence_length": 40, **data})
    sft(settings)
    capsys.readouterr()
    seen: dict[str, int] = {}
    for step in (1, 2, 5):
        assert run(["trace", str(tmp_path / "run"), "--step", str(step), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        samples = [sample["sample"] for sample in found["samples"]]
        assert samples == list(range((step - 1) * 4, step * 4))
        batch = open_run(settings, tmp_path / "run").samples(samples[0], 4)
        for row, sample in enumerate(found["samples"]):
            placed = 0
            for conversation in sample["conversations"]:
                start, stop = conversation["sample_tokens"]
                text = bytes(t for t in batch.tokens[row, start:stop].tolist() if t < 256).decode()
                record = records(conversation["file"])[conversation["record"] - 1]
                last = [message["content"] for message in record["messages"][-2:]]
                assert text.endswith("\n".join(last)), (text, last)
                assert conversation["task"] == (
                    "other" if "c.jsonl" in conversation["file"] else "one"
                )
                placed += stop - start
                seen[conversation["file"]] = seen.get(conversation["file"], 0) + 1
            assert placed <= batch.tokens.shape[1]
            if "packing" in data:
                assert placed == (batch.documents[row] != batch.documents[row, -1]).sum() or (
                    placed == batch.tokens.shape[1]
                )
    assert set(seen) == {str(first), str(second), str(third)}


def test_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sft(config(tmp_path))
    capsys.readouterr()
    assert run(["trace", str(tmp_path / "run"), "--step", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sample 4"
    assert lines[1].startswith("  at 0 ")
    assert f"{tmp_path / 'train.jsonl'}: record " in lines[1]
    assert run(["trace", str(tmp_path / "run"), "--step", "7"]) == 2
    (tmp_path / "run" / "data" / "train" / "records.npy").unlink()
    assert run(["trace", str(tmp_path / "run"), "--step", "2"]) == 1
    said = capsys.readouterr().err
    assert "records.npy: cannot be read" in said
    assert said.count("\n") <= 2


def test_a_run_that_was_refused_is_traced_as_it_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config(tmp_path)
    sft(settings)
    capsys.readouterr()
    asked = ["trace", str(tmp_path / "run"), "--step", "2", "--json"]
    assert run(asked) == 0
    before = capsys.readouterr().out
    path = tmp_path / "train.jsonl"
    write_records(path, [chat("a new question", "first of all"), *records(str(path))])
    with pytest.raises(InputError, match="started with other data.*tasks.train was"):
        sft(settings)
    capsys.readouterr()
    assert run(asked) == 0
    assert capsys.readouterr().out == before
