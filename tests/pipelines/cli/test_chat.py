"""`corpusmill chat` and `generate` on a model with a chat template."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model import load_pretrained
from model.decoder import Decoder
from model.generate import Session, generate
from model.huggingface import save_huggingface
from model.presets import preset
from pipelines.cli.main import run
from pipelines.cli.terminal import visible
from schemas.chat import Message
from training.chat import open_formatter
from training.tokenizers import continuation, load_tokenizer, save_tokenizer

GREEDY = ("--temperature", "0", "--max-new-tokens", "20")


def make_folder(folder: Path, template: str, max_seq_len: int = 256) -> Path:
    """A model of bytes with weights as drawn, but large enough to prefer some bytes."""
    decoder = Decoder(preset("debug", 257, max_seq_len=max_seq_len))
    decoder.initialize(3)
    state = {n: t * 6 if t.ndim > 1 else t for n, t in decoder.state_dict().items()}
    save_huggingface(decoder.config, state, folder)
    save_tokenizer("byte", folder)
    open_formatter(template, load_tokenizer("byte")).save(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("model"), "plain")


def talk(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    lines: str,
    *arguments: str,
    code: int = 0,
) -> tuple[str, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert run(["chat", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def expected(folder: Path, contents: list[str], new: int = 20, system: str | None = None) -> str:
    """The answer to the last of messages that users and assistants said by turns."""
    words = load_tokenizer("byte")
    roles = ["user", "assistant"] * len(contents)
    messages = [
        Message.model_validate({"role": role, "content": content})
        for role, content in zip(roles, contents, strict=False)
    ]
    if system is not None:
        messages.insert(0, Message(role="system", content=system))
    prompt = open_formatter(folder / "chat_template.jinja", words).prompt(messages)
    (found,) = generate(
        load_pretrained(folder), [prompt], max_new_tokens=new, temperature=0, eos_id=256
    )
    said = [token for token in found.tokens if token != 256]
    return continuation(words, prompt, said)


def test_turns_see_those_before(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = talk(capsys, monkeypatch, "Hi\n\nWhy?\n", str(folder), *GREEDY, "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert (first["prompt"], second["prompt"]) == ("Hi", "Why?")
    assert first["text"] == expected(folder, ["Hi"])
    assert second["text"] == expected(folder, ["Hi", first["text"], "Why?"])
    assert first["dropped_turns"] == 0
    assert first["tokens_per_s"] > 0
    assert first["finish_reason"] in ("stop", "length")


def test_commands(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "Hi\n/reset\nHi\n/exit\nnever\n"
    arguments = [str(folder), *GREEDY, "--system", "Be brief.", "--json"]
    out, err = talk(capsys, monkeypatch, lines, *arguments)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["prompt"] for row in rows] == ["Hi", "Hi"]
    assert rows[0]["text"] == rows[1]["text"] == expected(folder, ["Hi"], system="Be brief.")
    assert "begins anew" in err


def test_the_seed_decides(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        out, _ = talk(
            capsys, monkeypatch, "a\nb\n", str(folder), "--seed", seed, "--max-new-tokens", "9"
        )
        texts.append(out)
    assert texts[0] == texts[1] != texts[2]


def test_the_oldest_turns_make_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path, "plain", max_seq_len=64)
    long = "x" * 80
    lines = f"{'a' * 20}\n{'b' * 20}\n{long}\n{'c' * 50}\n"
    out, err = talk(capsys, monkeypatch, lines, str(folder), *GREEDY, "--json")
    first, second, third, fourth = (json.loads(line) for line in out.splitlines())
    assert first["dropped_turns"] == 0
    assert second["dropped_turns"] == 1
    assert second["text"] == expected(folder, ["b" * 20])
    assert "shorten it" in third["error"]
    # What is left of the model's length is used.
    assert fourth["text"] == expected(folder, ["c" * 50], new=13)
    assert "oldest turns are dropped" in err


def test_an_answer_can_be_stopped_and_a_second_time_all(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Session, prompt: list[int], **settings: Any) -> Iterator[int]:
        yield from b"abc"
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "stream", interrupted)
    out, _ = talk(capsys, monkeypatch, "Hi\nHo\nHu\n", str(folder), "--json", code=130)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["text"], row["finish_reason"]) for row in rows] == [("abc", "interrupted")] * 2


def test_a_folder_without_a_template_is_for_generate(
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for file in folder.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).symlink_to(file)
    _, err = talk(capsys, monkeypatch, "Hi\n", str(tmp_path), code=2)
    assert "no chat template" in err
    assert run(["generate", str(tmp_path), "-p", "a", "--system", "b"]) == 2


def test_generate_asks_where_there_is_a_template(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(*arguments: str) -> dict[str, Any]:
        assert run(["generate", str(folder), "--prompt", "Hi", *GREEDY, "--json", *arguments]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    asked = row()
    assert set(asked) == {"prompt", "text", "tokens", "finish_reason", "tokens_per_s"}
    assert (asked["prompt"], asked["text"]) == ("Hi", expected(folder, ["Hi"]))
    assert row("--system", "S")["text"] == expected(folder, ["Hi"], system="S")
    (raw,) = generate(
        load_pretrained(folder), [[72, 105]], max_new_tokens=20, temperature=0, eos_id=256
    )
    assert row("--raw")["tokens"] == raw.tokens
    assert run(["generate", str(folder), "--prompt", "Hi", *GREEDY]) == 0
    assert capsys.readouterr().out == visible(asked["text"]) + "\n"


def test_prompts_of_several_lengths_do_as_alone(folder: Path) -> None:
    """Padding on the left changes nothing."""
    decoder = load_pretrained(folder)
    formatter = open_formatter("plain", load_tokenizer("byte"))
    prompts = [
        formatter.prompt([Message(role="user", content=text)])
        for text in ("a", "What is the capital of France?", "日本")
    ]
    settings: dict[str, Any] = {"max_new_tokens": 12, "temperature": 0}
    together = generate(decoder, prompts, eos_id=formatter.stop_ids, **settings)
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = generate(decoder, [prompt], eos_id=formatter.stop_ids, **settings)
        assert found.tokens == alone.tokens
