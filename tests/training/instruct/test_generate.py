"""Self-Instruct and Evol-Instruct against a scripted endpoint: records, rejections, resume."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from pipelines.cli.main import run as corpusmill
from schemas.errors import CorpusmillError, UsageError
from tests.builders.chat_endpoint import Reply, serving
from training.chat.reading import read_conversations
from training.instruct.config import GenerateConfig
from training.instruct.endpoint import Endpoint
from training.instruct.generate import generate
from training.instruct.requests import Request

NOUNS = ("river", "bridge", "kettle", "lantern", "orchard", "violin", "saddle", "compass")
VERBS = ("Describe", "Compare", "Summarise", "Explain", "List", "Rank", "Invent", "Translate")
FIELDS = ("chemistry", "cooking", "sailing", "history", "law", "music", "farming", "astronomy")


def seeds(folder: Path) -> Path:
    path = folder / "seeds.jsonl"
    rows = [
        {
            "id": f"seed_{n}",
            "instruction": f"{VERBS[n]} the {NOUNS[n]} as an expert in {FIELDS[n]} would",
            "instances": [{"input": "", "output": f"Answer {n}."}],
            "is_classification": n % 4 == 0,
        }
        for n in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def new_task(number: int) -> str:
    """Tasks that share few words."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    words = [digest[at : at + 5] for at in range(0, 40, 5)]
    return f"{VERBS[number % 8]} {' '.join(words)} please"


def self_instruct_model(number: int, prompt: str) -> Reply | str:
    """An answer that depends on the prompt alone."""
    key = int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16)
    if prompt.startswith("Here are tasks"):
        listed = [new_task(key % 1000 + n) for n in range(3)]
        listed += ["Draw a picture of a house now", "Too short", listed[0]]
        return "\n".join(f"{9 + n}. {task}" for n, task in enumerate(listed))
    if prompt.startswith("Can this task"):
        return "Yes" if key % 3 == 0 else "No" if key % 7 else "Perhaps"
    task = re.findall(r"Task: (.*)", prompt)[-1]
    if "Label:" in prompt.rsplit("\n\n", 1)[-1]:
        return f"Label: good\nInput: the text of {task}"
    if key % 5 == 0:
        return Reply(f"Input: None\nOutput: torn {task}", finish_reason="length")
    return f"Input: None\nOutput: the answer to {task}"


def config_of(url: str, folder: Path, method: str = "self_instruct", **keys: Any) -> GenerateConfig:
    section: dict[str, Any] = {"seeds": str(seeds(folder))}
    if method == "evol_instruct":
        section["format"] = "seed_tasks"
    tree = {
        "output": str(folder / "out"),
        "method": method,
        "count": 12,
        "batch": 3,
        "model": {"endpoint": url, "name": "tiny", **keys.pop("model", {})},
        method: {**section, **keys.pop("section", {})},
        **keys,
    }
    return GenerateConfig.model_validate(tree)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def content(output: Path) -> tuple[bytes, bytes]:
    return (output / "instructions.jsonl").read_bytes(), (output / "rejected.jsonl").read_bytes()


def test_self_instruct_writes_conversations_with_their_origin(tmp_path: Path) -> None:
    with serving(self_instruct_model) as stub:
        summary = generate(config_of(stub.url, tmp_path))
    out = tmp_path / "out"
    assert summary["state"] == "complete"
    assert summary["kept"] == 12
    assert summary["requests"] == len(stub.requests)
    assert (summary["prompt_tokens"], summary["completion_tokens"]) == (
        10 * len(stub.requests),
        5 * len(stub.requests),
    )
    made = rows(out / "instructions.jsonl")
    assert len(list(read_conversations(out / "instructions.jsonl", "messages"))) == 12
    assert all(len(row["parents"]) == 8 and row["method"] == "self_instruct" for row in made)
    assert any(not parent.startswith("seed_") for row in made for parent in row["parents"])
    assert {row["classification"] for row in made} == {True, False}
    rejected = Counter(row["reason"] for row in rows(out / "rejected.jsonl"))
    assert dict(rejected) == summary["rejected"]
    assert {"keyword", "too_short", "rouge_l"} <= set(rejected)
    assert json.loads((out / "summary.json").read_text()) == summary


def test_the_result_does_not_depend_on_how_many_ask(tmp_path: Path) -> None:
    contents = []
    for concurrency in (1, 8):
        folder = tmp_path / str(concurrency)
        folder.mkdir()
        with serving(self_instruct_model) as stub:
            generate(config_of(stub.url, folder, model={"concurrency": concurrency}))
        contents.append(content(folder / "out"))
    assert contents[0] == contents[1]


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    with serving(self_instruct_model) as stub:
        config = config_of(stub.url, tmp_path)
        generate(config)
        before, asked = content(tmp_path / "out"), len(stub.requests)
        summary = generate(config)
        assert len(stub.requests) == asked
    assert content(tmp_path / "out") == before
    assert summary["requests_of_this_sitting"] == 0


def test_a_budget_ends_a_run_that_goes_on_when_it_is_raised(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    with serving(self_instruct_model) as stub:
        generate(config_of(stub.url, whole))
        for limit in (4, 9, 16):
            before = len(stub.requests)
            config = config_of(stub.url, tmp_path, budget={"max_requests": limit})
            summary = generate(config)
            assert summary["state"] == "budget"
            assert summary["requests"] == limit
            assert summary["requests_of_this_sitting"] == len(stub.requests) - before
        generate(config_of(stub.url, tmp_path))
    assert content(tmp_path / "out") == content(whole / "out")


def test_budgets_of_tokens_and_cost_are_not_exceeded(tmp_path: Path) -> None:
    with serving(self_instruct_model) as stub:
        keys: dict[str, Any] = {"sampling": {"max_tokens": 50}, "model": {"concurrency": 1}}
        summary = generate(config_of(stub.url, tmp_path, budget={"max_tokens": 700}, **keys))
        assert summary["state"] == "budget"
        assert 0 < summary["prompt_tokens"] + summary["completion_tokens"] <= 700
        prices = {"prompt": 1e6, "completion": 2e6}
        keys["model"] = {"concurrency": 1}
        summary = generate(
            config_of(stub.url, tmp_path, budget={"max_cost": 1000}, prices=prices, **keys)
        )
    assert summary["cost"] == summary["prompt_tokens"] + 2 * summary["completion_tokens"] <= 1000


def test_an_endpoint_that_dies_keeps_what_was_answered(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    with serving(self_instruct_model) as stub:
        generate(config_of(stub.url, whole))

    def dying(number: int, prompt: str) -> Reply | str:
        return Reply(status=500) if number == 7 else self_instruct_model(number, prompt)

    with serving(dying) as stub:
        config = config_of(stub.url, tmp_path, model={"attempts": 1, "concurrency": 1})
        with pytest.raises(CorpusmillError, match="HTTP 500"):
            generate(config)
        assert json.loads((tmp_path / "out/summary.json").read_text())["state"] == "failed"
        asked = len(stub.requests)
        generate(config)
        assert len(set(map(json.dumps, stub.requests[:asked]))) == asked
        repeated = [r for r in stub.requests[asked:] if r in stub.requests[:asked]]
        assert repeated == [stub.requests[7]]
    assert content(tmp_path / "out") == content(whole / "out")


KILLED = """
import json, os, signal, sys
from training.instruct import cache
from training.instruct.config import GenerateConfig
from training.instruct.generate import generate
from training.instruct.requests import Request
put, left = cache.AnswerCache.put, [int(sys.argv[2])]
def dying(self, key, answer):
    left[0] -= 1
    if not left[0]:
        self._handle.write(b'{"key": "cut')
        self._handle.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, key, answer)
cache.AnswerCache.put = dying
generate(GenerateConfig.model_validate(json.loads(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("answers", [1, 6, 15])
def test_a_kill_in_the_middle_of_an_answer(answers: int, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    with serving(self_instruct_model) as stub:
        generate(config_of(stub.url, whole))
        config = config_of(stub.url, tmp_path, model={"concurrency": 1})
        line = [sys.executable, "-c", KILLED, config.model_dump_json(), str(answers)]
        killed = subprocess.run(line, capture_output=True, timeout=120)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        before = len(stub.requests)
        generate(config)
        again = [r for r in stub.requests[before:] if r in stub.requests[before - answers : before]]
        assert len(again) == 1
    assert content(tmp_path / "out") == content(whole / "out")


def test_another_configuration_needs_another_folder(tmp_path: Path) -> None:
    with serving(self_instruct_model) as stub:
        generate(config_of(stub.url, tmp_path))
        with pytest.raises(UsageError, match="another seed"):
            generate(config_of(stub.url, tmp_path, seed=2))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        generate(config_of(stub.url, tmp_path, output=str(tmp_path / "full")))


def refusing(number: int, prompt: str) -> Reply | str:
    """A policy that some prompts break."""
    if int(hashlib.sha256(prompt.encode()).hexdigest()[8:16], 16) % 6 == 0 and number > 2:
        return Reply(status=400, body=b'{"error": "content\\npolicy"}')
    return self_instruct_model(number, prompt)


def test_refused_prompts_are_rejections_and_are_not_asked_again(tmp_path: Path) -> None:
    with serving(refusing) as stub:
        config = config_of(stub.url, tmp_path, model={"concurrency": 1})
        summary = generate(config)
        assert summary["state"] == "complete"
        asked, before = len(stub.requests), content(tmp_path / "out")
        generate(config)
        assert len(stub.requests) == asked == summary["requests"]
    assert content(tmp_path / "out") == before
    refused = [row for row in rows(tmp_path / "out/rejected.jsonl") if row["reason"] == "refused"]
    assert len(refused) == summary["rejected"]["refused"] > 2
    assert {row["detail"] for row in refused} == {'HTTP 400: {"error": "content\\npolicy"}'}
    assert not {"no_tasks", "no_instances"} & set(summary["rejected"])


@pytest.mark.parametrize("concurrency", [1, 8])
def test_refusals_alone_end_a_run_and_are_asked_again(concurrency: int, tmp_path: Path) -> None:
    def no(number: int, prompt: str) -> Reply:
        return Reply(status=422, body=b"unknown\nfield: seed")

    with serving(no) as stub:
        config = config_of(stub.url, tmp_path, batch=30, model={"concurrency": concurrency})
        with pytest.raises(CorpusmillError, match="first 20 requests.*field: seed") as caught:
            generate(config)
        assert "\n" not in str(caught.value)
        assert 20 <= len(stub.requests) < 20 + concurrency
    assert (tmp_path / "out/answers.jsonl").read_bytes() == b""


def test_junk_ends_a_run_too(tmp_path: Path) -> None:
    with serving(lambda number, prompt: "I would rather not.") as stub:
        summary = generate(config_of(stub.url, tmp_path, patience=2))
    assert summary["state"] == "exhausted"
    assert summary["rejected"] == {"no_tasks": 6}


def test_keys_are_in_no_file_and_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STUB_KEY", "sk-secret-of-mine")
    with serving(self_instruct_model) as stub:
        tree = config_of(stub.url, tmp_path, model={"api_key_env": "STUB_KEY"})
        path = tmp_path / "config.yaml"
        path.write_text(tree.model_dump_json(exclude_none=True))
        assert corpusmill(["instruct", "generate", str(path), "--json"]) == 0
        assert stub.headers[0]["Authorization"] == "Bearer sk-secret-of-mine"
    said = capsys.readouterr()
    assert json.loads(said.out)["state"] == "complete"
    written = [p.read_text() for p in (tmp_path / "out").iterdir()]
    assert not [text for text in [*written, said.out, said.err] if "secret-of-mine" in text]


def test_no_endpoint_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"output: {tmp_path}/out\nmethod: self_instruct\ncount: 5\n"
        "self_instruct: {seeds: s.jsonl}\n"
    )
    assert corpusmill(["instruct", "generate", str(path)]) == 2
    said = capsys.readouterr().err
    assert "set model.endpoint" in said
    assert not (tmp_path / "out").exists()


def evolving_model(number: int, prompt: str) -> Reply | str:
    key = int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16)
    if "<task>" in prompt:
        task = prompt.split("<task>\n")[1].split("\n</task>")[0]
        turns = {0: "Here is the rewritten task: do it", 1: task, 2: "... the of!"}
        return turns.get(key % 8, f"{task}, and say why in {key % 100} words")
    if prompt.startswith("Do these two tasks"):
        return "Yes." if key % 6 == 0 else "No."
    turns = {0: "I am sorry, I cannot do this.", 1: "the of ..."}
    if key % 7 == 2:
        return Reply("It begins", finish_reason="length")
    return turns.get(key % 7, f"Answered: {prompt}")


def test_evol_instruct_changes_and_eliminates(tmp_path: Path) -> None:
    with serving(evolving_model) as stub:
        config = config_of(stub.url, tmp_path, "evol_instruct", count=1000, section={"rounds": 4})
        summary = generate(config)
    assert summary["state"] == "exhausted"
    made = rows(tmp_path / "out/instructions.jsonl")
    assert summary["kept"] == len(made) > 5
    assert len({row["round"] for row in made}) > 1
    assert len({row["operation"] for row in made}) > 2
    reasons = set(summary["rejected"])
    assert {"copied_prompt", "no_gain", "says_nothing", "sorry", "truncated"} <= reasons
    # Of each round and instruction there is one record or one rejection.
    assert summary["kept"] + sum(summary["rejected"].values()) == 4 * 8
    deep = next(row for row in made if len(row["parents"]) > 1)
    parents = [row for row in made if row["task_id"] == deep["parents"][-1]]
    assert deep["messages"][0]["content"].startswith(parents[0]["messages"][0]["content"])
    assert deep["seed_id"].startswith("seed_")


@pytest.mark.parametrize("words", ["<task>", "Do these two tasks", None])
def test_evol_instruct_rejects_what_is_refused(words: str | None, tmp_path: Path) -> None:
    def model(number: int, prompt: str) -> Reply | str:
        kind = next((w for w in ("<task>", "Do these two tasks") if w in prompt), None)
        if kind == words and number > 0:
            return Reply(status=413, body=b" ")
        return f"Anew {prompt}" if kind is None else "No" if "Do these" in prompt else "Plan a day"

    with serving(model) as stub:
        config = config_of(stub.url, tmp_path, "evol_instruct", section={"rounds": 1})
        summary = generate(config)
    assert summary["rejected"]["refused"] >= 7
    assert set(summary["rejected"]) == {"refused"}
    details = {row["detail"] for row in rows(tmp_path / "out/rejected.jsonl")}
    assert details == {"HTTP 413: no reason given"}


def test_a_model_of_our_own_answers(tmp_path: Path) -> None:
    from model.config import ModelConfig
    from model.decoder import Decoder
    from training.chat.formatter import open_formatter
    from training.instruct.own_model import OwnModel
    from training.tokenizers import load_tokenizer

    words = load_tokenizer("byte")
    shape = ModelConfig(
        vocab_size=words.vocab_size, dim=16, n_layers=1, n_heads=2, n_kv_heads=1, max_seq_len=4096
    )
    decoder = Decoder(shape).eval()
    decoder.initialize(1)
    generator = OwnModel(decoder, open_formatter("plain", words))
    config = config_of(
        "http://localhost:1/v1", tmp_path, patience=1, sampling={"max_tokens": 8}, batch=2
    )
    summary = generate(config, generator)
    assert summary["state"] == "exhausted"
    assert summary["model"]["weights"] == generator.identity["weights"]
    assert summary["requests"] == 2
    before = content(tmp_path / "out")
    long = Request("a" * 5000, 1, 0.0, 1.0, 8)
    assert generator.answer(long, Event())[:2] == ("", "length")
    assert generate(config, generator)["requests_of_this_sitting"] == 0
    assert content(tmp_path / "out") == before


def test_the_endpoint_of_a_configuration_is_used(tmp_path: Path) -> None:
    from training.instruct.generate import open_generator

    config = config_of("http://localhost:1/v1", tmp_path)
    assert isinstance(open_generator(config.model), Endpoint)
    assert os.environ.get("STUB_KEY") is None
