"""`corpusmill generate`, from a folder to text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model import load_pretrained
from model.decoder import Decoder
from model.generate import generate
from model.huggingface import save_huggingface
from model.presets import preset
from pipelines.cli.main import run
from pipelines.cli.terminal import visible
from training.tokenizers import load_tokenizer, save_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of bytes with weights as drawn, but large enough to prefer some bytes."""
    folder = tmp_path_factory.mktemp("model")
    decoder = Decoder(preset("debug", 257))
    decoder.initialize(3)
    state = {n: t * 6 if t.ndim > 1 else t for n, t in decoder.state_dict().items()}
    save_huggingface(decoder.config, state, folder)
    save_tokenizer("byte", folder)
    return folder


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert run(["generate", *arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def failed(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert run(["generate", *arguments]) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return " ".join(error.split())


def test_json_tells_what_the_model_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = rows(
        capsys, str(folder), "--prompt", "Ab", "--max-new-tokens", "9", "--temperature", "0"
    )
    (expected,) = generate(
        load_pretrained(folder), [[65, 98]], max_new_tokens=9, temperature=0, eos_id=256
    )
    assert row["prompt"] == "Ab"
    assert row["tokens"] == expected.tokens
    assert row["finish_reason"] == expected.finish_reason
    assert row["tokens_per_s"] > 0
    whole = load_tokenizer("byte").decode([65, 98, *expected.tokens])
    assert row["prompt"] + row["text"] == whole


def test_the_seed_decides_and_counts_differ(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(folder), "--prompt", "Ab", "-p", "x", "--count", "2", "--max-new-tokens", "12"]
    first = rows(capsys, *arguments)
    assert [row["prompt"] for row in first] == ["Ab", "Ab", "x", "x"]
    assert len({tuple(row["tokens"]) for row in first}) == 4
    again = rows(capsys, *arguments)
    other = rows(capsys, *arguments, "--seed", "2")
    assert [row["tokens"] for row in again] == [row["tokens"] for row in first]
    assert [row["tokens"] for row in other] != [row["tokens"] for row in first]


def test_a_text_on_the_terminal_is_that_of_json_made_safe(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(folder), "--prompt", "Ab\x1b", "--max-new-tokens", "40"]
    (row,) = rows(capsys, *arguments)
    assert run(["generate", *arguments]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Ab\\u001b")
    assert shown == visible(row["prompt"] + row["text"]) + "\n"


def test_without_a_prompt_a_document_begins(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = rows(capsys, str(folder), "--max-new-tokens", "5", "--temperature", "0")
    (expected,) = generate(
        load_pretrained(folder), [[256]], max_new_tokens=5, temperature=0, eos_id=256
    )
    assert row["prompt"] == ""
    assert row["tokens"] == expected.tokens


def test_bfloat16_and_cuts_are_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    greedy = rows(capsys, str(folder), "-p", "a", "--max-new-tokens", "8", "--temperature", "0")
    cut = rows(capsys, str(folder), "-p", "a", "--max-new-tokens", "8", "--top-k", "1")
    nucleus = rows(capsys, str(folder), "-p", "a", "--max-new-tokens", "8", "--top-p", "0.0001")
    assert greedy[0]["tokens"] == cut[0]["tokens"] == nucleus[0]["tokens"]
    (row,) = rows(capsys, str(folder), "-p", "a", "--max-new-tokens", "8", "--dtype", "bfloat16")
    assert len(row["tokens"]) == 8 or row["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--max-new-tokens", "256"], 2, "max_seq_len of 256"),
        (["--top-p", "0"], 2, "top_p"),
        (["--dtype", "int8"], 2, "float32, bfloat16"),
        (["--device", "abacus"], 2, "abacus"),
        (["--tokenizer", "absent.model"], 1, "no tokenizer at absent.model"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: list[str], code: int, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in failed(capsys, code, str(folder), "--prompt", "Ab", *arguments)


def test_a_folder_without_a_model_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert str(tmp_path) in failed(capsys, 1, str(tmp_path), "--tokenizer", "byte")
    assert "no tokenizer" in failed(capsys, 1, str(tmp_path))


def test_another_models_tokenizer_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decoder = Decoder(preset("debug", 60))
    decoder.initialize(1)
    with torch.no_grad():
        save_huggingface(decoder.config, decoder.state_dict(), tmp_path)
    said = failed(capsys, 2, str(tmp_path), "--tokenizer", "byte", "--prompt", "Ab")
    assert "vocabulary of 60" in said
