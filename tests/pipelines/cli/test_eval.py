"""`corpusmill eval`, from a folder to figures."""

from __future__ import annotations

import gzip
import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from model.decoder import Decoder
from model.huggingface import save_huggingface
from model.presets import preset
from pipelines.cli.main import run
from training.evaluation import subject, tasks
from training.evaluation.task import Figure, Result, Task
from training.tokenizers import save_tokenizer

QUESTIONS = [
    {"question": "What is wet?", "choices": ["Water", "Fire"], "answer": 0},
    {"question": "What is hot?", "choices": ["Ice", "Fire"], "answer": 1},
]
CHATS = [
    {
        "messages": [
            {"role": "user", "content": "say yes"},
            {"role": "assistant", "content": "yes"},
        ]
    }
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    decoder = Decoder(preset("debug", 257))
    decoder.initialize(3)
    save_huggingface(decoder.config, decoder.state_dict(), folder)
    save_tokenizer("byte", folder)
    for name, rows in (
        ("questions", QUESTIONS),
        ("texts", [{"text": "Some text"}, {"text": "and more", "source": "x\x1b"}]),
        ("problems", [{"question": "1 + 1?", "answer": "#### 2"}]),
        ("chats", CHATS),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["eval", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_one_object_tells_of_all_tasks(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = tmp_path / "items.jsonl"
    found = answered(
        capsys,
        str(folder),
        *("-t", "multiple_choice", "-d", str(folder / "questions.jsonl")),
        *("-t", "passkey", "--lengths", "80,120", "--depths", "2", "--trials", "1"),
        *("-t", "perplexity", "-d", str(folder / "texts.jsonl")),
        *("-t", "gsm8k", "-d", str(folder / "problems.jsonl"), "--max-new-tokens", "5"),
        *("-t", "exact_match", "-d", str(folder / "chats.jsonl"), "--template", "plain"),
        *("--output", str(items)),
    )
    tasks = {task["task"]: task for task in found["tasks"]}
    assert list(tasks) == ["multiple_choice", "passkey", "perplexity", "gsm8k", "exact_match"]
    assert {f["name"] for f in tasks["multiple_choice"]["figures"]} == {
        *("acc", "acc_norm", "acc_bytes", "acc_tokens")
    }
    for figure in tasks["passkey"]["figures"]:
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert [f["group"] for f in tasks["passkey"]["figures"][1:3]] == ["length 80", "length 120"]
    names = [(f["name"], f.get("group")) for f in tasks["perplexity"]["figures"][:4]]
    assert names[0] == ("nats_per_token", None)
    assert names[3] == ("nats_per_token", "texts.jsonl")
    rows = [json.loads(line) for line in items.read_text().splitlines()]
    assert [row["task"] for row in rows].count("passkey") == 4
    assert rows[-1]["expected"] == "yes"


def test_a_table_shows_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(folder / "texts.jsonl")
    assert run(["eval", str(folder), "-t", "perplexity", "-d", data, "--window", "64"]) == 0
    shown = capsys.readouterr().out
    assert "bits_per_byte" in shown
    assert "x\\u001b" in shown
    assert "perplexity: 2 items" in shown
    assert "window 64, stride 32" in shown


def test_a_stretched_model_is_asked_beyond_its_window(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answered(
        capsys,
        str(folder),
        *("-t", "passkey", "--lengths", "300", "--depths", "1", "--trials", "1"),
        *("--set", "max_seq_len=512", "--set", "rope.scaling=ntk", "--set", "rope.factor=2"),
    )
    assert found["max_seq_len"] == 512
    assert found["rope"]["original_len"] == 256


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-t", "poems"], 2, "--task poems is none of perplexity"),
        (["-t", "multiple_choice"], 2, "--data is given 0 times, and 1 of the tasks read a file"),
        (["-t", "passkey", "-d", "x"], 2, "--data is given 1 times, and 0"),
        (["-t", "passkey", "--lengths", "a"], 2, "--lengths a: write whole numbers"),
        (["-t", "passkey", "--lengths", "999"], 2, "has room for 256 tokens"),
        (["-t", "passkey", "--set", "dim=3"], 2, "--set dim"),
        (["-t", "multiple_choice", "-d", "absent.jsonl"], 1, "absent.jsonl"),
        (["-t", "exact_match", "-d", "FOLDER/chats.jsonl"], 2, "no chat template"),
        (["-t", "passkey", "--dtype", "int8"], 2, "float32, bfloat16"),
        (["-t", "passkey", "--device", "abacus"], 2, "abacus"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: list[str],
    code: int,
    said: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [argument.replace("FOLDER", str(folder)) for argument in arguments]
    assert run(["eval", str(folder), *arguments]) == code
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert "Traceback" not in error


GSM8K = ["-t", "gsm8k", "-d", "FOLDER/problems.jsonl", "--shots", "1"]
PASSKEY = ["-t", "passkey", "--lengths", "80"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-t", "perplexity", "-d", "absent.jsonl"], 1, "--data absent.jsonl: there is no such"),
        (["-t", "perplexity", "-d", "FOLDER"], 1, "is a folder; name a file"),
        ([*GSM8K, "--examples", "absent.jsonl"], 1, "--examples absent.jsonl: there is no"),
        ([*GSM8K, "--examples", "FOLDER/../FOLDERNAME/problems.jsonl"], 2, "file of --data as"),
        ([*GSM8K, "--output", "FOLDER/problems.jsonl"], 2, "replace the file of --data"),
        (
            [*GSM8K, "--examples", "FOLDER/more.jsonl", "--output", "FOLDER/more.jsonl"],
            2,
            "replace the file of --examples",
        ),
        ([*PASSKEY, "--output", "FOLDER"], 1, "is a folder; name a file"),
        ([*PASSKEY, "--output", "FOLDER/absent/items.jsonl"], 1, "there is no folder"),
    ],
)
def test_files_are_looked_at_before_the_model(
    arguments: list[str],
    code: int,
    said: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(subject, "open_subject", load)
    (folder / "more.jsonl").write_text((folder / "problems.jsonl").read_text())
    named = [one.replace("FOLDERNAME", folder.name) for one in arguments]
    named = [one.replace("FOLDER", str(folder)) for one in named]
    assert run(["eval", str(folder), *named]) == code
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("as_json", [False, True])
def test_a_task_that_fails_takes_nothing_from_those_before_it(
    as_json: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": 3}\n')
    arguments = [
        *("-t", "multiple_choice", "-d", str(folder / "questions.jsonl")),
        *("-t", "exact_match", "-d", str(folder / "chats.jsonl"), "--template", "plain"),
        *("-t", "perplexity", "-d", str(bad), "--output", str(tmp_path / "items.jsonl")),
        *(["--json"] if as_json else []),
    ]
    assert run(["eval", str(folder), *arguments]) == 1
    shown = capsys.readouterr()
    assert "record 1: text: 3 is no text" in " ".join(shown.err.split())
    assert "acc_norm" in shown.out
    if as_json:
        names = [task["task"] for task in json.loads(shown.out)["tasks"]]
        assert names == ["multiple_choice", "exact_match"]
    rows = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [row["task"] for row in rows] == ["multiple_choice"] * 2 + ["exact_match"]


def test_what_json_does_not_have_is_written_all_the_same(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = [Figure("odd", math.nan, low=-math.inf, high=1.0), Figure("far", math.inf, count=1)]
    row = {"document": {"day": date(2024, 2, 1)}, "task": "of another"}
    odd = Task("odd", lambda *_: Result(figures, 1, rows=[row]), reads_data=False)
    monkeypatch.setitem(tasks.TASKS, "odd", odd)
    items = tmp_path / "items.jsonl"
    found = answered(capsys, str(folder), "-t", "odd", "--output", str(items))
    assert found["tasks"][0]["figures"] == [
        {"name": "odd", "value": None, "high": 1.0, "count": 0},
        {"name": "far", "value": None, "count": 1},
    ]
    assert json.loads(items.read_text()) == {"document": {"day": "2024-02-01"}, "task": "odd"}


def test_a_bad_chat_record_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(CHATS[0]) + "\n" + '{"messages": [{"role": "bot"}]}\n')
    arguments = ["-t", "exact_match", "-d", str(path), "--template", "plain"]
    assert run(["eval", str(folder), *arguments]) == 1
    assert "record 2: messages[0]" in " ".join(capsys.readouterr().err.split())


def test_items_under_a_name_in_gz_are_packed(folder: Path, tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl.gz"
    arguments = [
        *("-t", "multiple_choice", "-d", str(folder / "questions.jsonl")),
        *("-t", "gsm8k", "-d", str(folder / "problems.jsonl"), "--max-new-tokens", "5"),
    ]
    assert run(["eval", str(folder), *arguments, "--output", str(items)]) == 0
    rows = [json.loads(line) for line in gzip.decompress(items.read_bytes()).splitlines()]
    assert {row["task"] for row in rows} == {"multiple_choice", "gsm8k"}
