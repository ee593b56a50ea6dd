"""Selection by a model's losses, by embeddings, by ratings."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model.virtual_tokens import VirtualTokens
from pipelines.cli.main import run as corpusmill
from schemas.chat import Conversation
from schemas.errors import InputError, UsageError
from tests.builders.chat_endpoint import serving
from tests.builders.huggingface import theirs
from training.chat.formatter import open_formatter
from training.chat.reading import read_rows
from training.instruct.config import ModelSource, RaterConfig
from training.instruct.own_model import OwnModel, open_model
from training.instruct.requests import Request
from training.instruct.scoring import AnswerLoss, answer_losses, embeddings
from training.instruct.selection import SelectRequest, select
from training.tokenizers import load_tokenizer, save_tokenizer

PROMPTS = [
    ("Name a river.", "The Elbe."),
    ("Say hello to everybody who is in the room now.", "Hello!"),
    ("Count to three.", "One, two, three."),
    ("What is salt?", "A mineral made of sodium and chlorine, found in the sea."),
    ("x" * 300, "Too long for the model."),
]


def chat(prompt: str, answer: str, **fields: Any) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages, **fields}


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of transformers, with our tokenizer of bytes."""
    path = tmp_path_factory.mktemp("model")
    vocab = load_tokenizer("byte").vocab_size
    torch.manual_seed(3)
    model = theirs("llama", {"vocab_size": vocab, "max_position_embeddings": 128})
    model.save_pretrained(path)
    save_tokenizer("byte", path)
    return path


def test_losses_are_those_of_transformers(folder: Path) -> None:
    from transformers import LlamaForCausalLM

    other = LlamaForCausalLM.from_pretrained(folder).eval()
    words = load_tokenizer("byte")
    formatter = open_formatter("plain", words)
    conversations = [Conversation.model_validate(chat(*pair)) for pair in PROMPTS]
    decoder, _ = open_model(str(folder), "cpu")
    found = answer_losses(decoder, formatter, conversations, batch_size=3)
    assert isinstance(found[4], str)
    assert "room for 128" in found[4]
    for conversation, loss in zip(conversations[:4], found, strict=False):
        assert isinstance(loss, AnswerLoss)
        tokens, mask = formatter.encode(conversation, train_on="last_answer")
        answer = [t for t, m in zip(tokens, mask, strict=True) if m]
        for context, ours in (
            (tokens[: mask.index(True)], loss.after_prompt),
            ([words.eos_id], loss.alone),
        ):
            ids = torch.tensor([context + answer])
            labels = torch.tensor([[-100] * len(context) + answer])
            with torch.no_grad():
                expected = float(other(ids, labels=labels).loss)
            assert ours == pytest.approx(expected, abs=1e-4)
        assert loss.ifd == pytest.approx(loss.after_prompt / loss.alone)
        assert loss.perplexity == pytest.approx(math.exp(loss.after_prompt))


def test_embeddings_are_means_whatever_the_batch(folder: Path) -> None:
    from transformers import LlamaModel

    other = LlamaModel.from_pretrained(folder).eval()
    formatter = open_formatter("plain", load_tokenizer("byte"))
    conversations = [Conversation.model_validate(chat(*pair)) for pair in PROMPTS]
    decoder, _ = open_model(str(folder), "cpu")
    together = embeddings(decoder, formatter, conversations, batch_size=5)
    one = embeddings(decoder, formatter, conversations, batch_size=1)
    np.testing.assert_allclose(together, one, atol=1e-5)
    # What transformers' last layer gives before its norm.
    caught: list[torch.Tensor] = []
    other.layers[-1].register_forward_hook(
        lambda module, inputs, output: caught.append(
            output if isinstance(output, torch.Tensor) else output[0]
        )
    )
    with torch.no_grad():
        other(torch.tensor([formatter.encode(conversations[0], "all").tokens]))
    np.testing.assert_allclose(one[0], caught[0].reshape(-1, one.shape[1]).mean(0), atol=1e-4)


@pytest.mark.parametrize("method", ["ifd", "perplexity"])
def test_select_by_loss(
    method: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "a.jsonl", [chat(*pair, mark=n) for n, pair in enumerate(PROMPTS)])
    target = tmp_path / "best.jsonl"
    line = ["instruct", "select", str(source), "--output", str(target), "--count", "2"]
    line += ["--method", method, "--model", str(folder), "--device", "cpu", "--json"]
    assert corpusmill(line) == 0, capsys.readouterr().err
    said = json.loads(capsys.readouterr().out)
    scores = rows(tmp_path / "best.scores.jsonl")
    assert [score["record"] for score in scores] == [1, 2, 3, 4, 5]
    assert scores[4][method] is None
    assert (said["in"], said["not_scored"]) == (5, 1)
    wanted = sorted(
        (score for score in scores if score[method] is not None), key=lambda s: -s[method]
    )
    if method == "ifd":
        wanted = [score for score in wanted if score["ifd"] < 1]
    chosen = rows(target)
    assert [row["mark"] + 1 for row in chosen] == [score["record"] for score in wanted[:2]]
    assert chosen == [] or chosen[0]["scores"][method] == wanted[0][method]
    assert [s["record"] for s in scores if s["chosen"]] == sorted(r["mark"] + 1 for r in chosen)
    if method == "perplexity":
        assert corpusmill([*line, "--lowest"]) == 0
        assert rows(target)[0]["mark"] + 1 == wanted[-1]["record"]


def test_k_center_over_given_embeddings(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [chat(*pair, mark=n) for n, pair in enumerate(PROMPTS)])
    points = tmp_path / "a.npy"
    np.save(points, np.array([[0.0, 0], [0.1, 0], [10, 0], [0, 7], [0.1, 0.1]]))
    request = SelectRequest(source, tmp_path / "b.jsonl", 3, "k_center", embeddings=points)
    assert select(request)["chosen"] == 3
    marks = [row["mark"] for row in rows(tmp_path / "b.jsonl")]
    assert set(marks[1:]) == {2, 3}
    np.save(points, np.zeros((4, 2)))
    with pytest.raises(InputError, match="5 rows of floating-point numbers are needed"):
        select(request)


def test_deita_over_fields_takes_the_best_that_differ(tmp_path: Path) -> None:
    grades = [(1, 6), (5, 6), (5, 5), (3, 3), (6, 6)]
    records = [
        chat(*pair, mark=n, complexity=c, quality=q)
        for n, (pair, (c, q)) in enumerate(zip(PROMPTS, grades, strict=True))
    ]
    source = write(tmp_path / "a.jsonl", records)
    points = tmp_path / "a.npy"
    np.save(points, np.array([[0.0, 1], [1, 0.01], [1, 1], [0.9, 1], [1, 0.0]]))
    request = SelectRequest(source, tmp_path / "b.jsonl", 3, "deita", embeddings=points)
    select(request)
    made = rows(tmp_path / "b.jsonl")
    assert [row["mark"] for row in made] == [4, 2, 0]
    assert made[0]["scores"] == {"complexity": 6, "quality": 6, "deita": 36}


def test_deita_has_records_rated_and_asks_once(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [chat(*pair, mark=n) for n, pair in enumerate(PROMPTS)])
    points = tmp_path / "a.npy"
    np.save(points, np.eye(5))

    def grade(number: int, prompt: str) -> str:
        if "Count to three" in prompt:
            return "between 3 and 4"
        return "Grade: **6**/6" if "salt" in prompt else "2."

    with serving(grade) as stub:
        raters = RaterConfig(model=ModelSource(endpoint=stub.url, name="judge"))
        request = SelectRequest(
            source, tmp_path / "b.jsonl", 2, "deita", embeddings=points, raters=raters
        )
        select(request)
        first = (tmp_path / "b.jsonl").read_bytes()
        select(request)
        assert len(stub.requests) == 10
    assert (tmp_path / "b.jsonl").read_bytes() == first
    assert [row["mark"] for row in rows(tmp_path / "b.jsonl")] == [3, 0]
    scores = rows(tmp_path / "b.scores.jsonl")
    assert scores[2]["deita"] is None
    assert scores[2]["not_scored"] == "complexity: no single grade, quality: no single grade"
    assert scores[3]["deita"] == 36


def test_only_missing_grades_are_asked_for_within_a_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields: list[dict[str, float]] = [{"complexity": 3, "quality": 5.5}, {"quality": 2}, {}]
    records = [chat(*PROMPTS[n], **grades) for n, grades in enumerate(fields)]
    source, points = write(tmp_path / "a.jsonl", records), tmp_path / "a.npy"
    np.save(points, np.eye(3))
    with serving(lambda number, prompt: "<think>\n3 or 4?\n</think>\n\n4") as stub:
        raters = tmp_path / "raters.yaml"
        line = ["instruct", "select", str(source), "--output", str(tmp_path / "b.jsonl")]
        line += ["--count", "3", "--method", "deita", "--embeddings", str(points), "--json"]
        line += ["--raters", str(raters)]
        model = f"model: {{endpoint: {stub.url}, name: judge}}\n"
        raters.write_text(f"{model}budget: {{max_requests: 2}}\n")
        assert corpusmill(line) == 1
        assert "budget.max_requests 2 is spent" in capsys.readouterr().err
        raters.write_text(f"{model}prices: {{completion: 1000000}}\n")
        assert corpusmill(line) == 0, capsys.readouterr().err
        assert len(stub.requests) == 3
        assert corpusmill([*line, "--endpoint", stub.url]) == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["rating"]["requests"], said["rating"]["cost"]) == (3, 15)
    scores = rows(tmp_path / "b.scores.jsonl")
    assert [score["deita"] for score in scores] == [16.5, 8, 16]


def test_wrong_usage_is_one_line(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [chat("a", "b"), {"messages": []}])
    with pytest.raises(UsageError, match="is none of ifd, perplexity, k_center, deita"):
        select(SelectRequest(source, tmp_path / "b.jsonl", 1, "best"))
    with pytest.raises(InputError, match=r"record 2: .*instruct filter takes such records out"):
        select(SelectRequest(source, tmp_path / "b.jsonl", 1, "k_center"))
    good = write(tmp_path / "good.jsonl", [chat("a", "b")])
    with pytest.raises(UsageError, match="needs --model"):
        select(SelectRequest(good, tmp_path / "b.jsonl", 1, "ifd"))
    with pytest.raises(UsageError, match="give --endpoint and --name"):
        select(SelectRequest(good, tmp_path / "b.jsonl", 1, "deita"))
    with pytest.raises(UsageError, match="is the input"):
        select(SelectRequest(good, good, 1, "ifd"))


def test_outputs_that_cannot_be_written_are_found_before_work(tmp_path: Path) -> None:
    good = write(tmp_path / "best.scores.jsonl", [chat("a", "b")])
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"--output: .*folder is a folder: name a file"):
        select(SelectRequest(good, tmp_path / "folder", 1, "k_center"))
    with pytest.raises(UsageError, match="is a file, not a folder"):
        select(SelectRequest(good, good / "b.jsonl", 1, "k_center"))
    with pytest.raises(UsageError, match=r"would write over the input"):
        select(SelectRequest(good, tmp_path / "best.jsonl", 1, "k_center"))


@pytest.mark.parametrize("method", ["ifd", "perplexity", "k_center"])
def test_a_model_of_nan_chooses_nothing(method: str, folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "model")
    (file,) = broken.glob("*.safetensors")
    weights = load_file(file)
    weights["model.norm.weight"].fill_(torch.nan)
    weights["model.layers.0.mlp.down_proj.weight"].fill_(torch.nan)
    save_file(weights, file, metadata={"format": "pt"})
    source = write(tmp_path / "a.jsonl", [chat(*pair) for pair in PROMPTS[:3]])
    target = tmp_path / "b.jsonl"
    with pytest.raises(InputError, match="the model gives NaN"):
        select(SelectRequest(source, target, 2, method, model=str(broken), device="cpu"))
    assert not target.exists()


def test_virtual_tokens_take_room(folder: Path) -> None:
    decoder, formatter = open_model(str(folder), "cpu")
    conversations = [
        Conversation.model_validate(chat("N" * length, "The Elbe.")) for length in (90, 110)
    ]
    assert not any(
        isinstance(loss, str) for loss in answer_losses(decoder, formatter, conversations)
    )
    decoder.virtual = VirtualTokens(16, decoder.config.dim)
    one, other = answer_losses(decoder, formatter, conversations)
    assert isinstance(one, AnswerLoss)
    assert isinstance(other, str)
    assert "room for 112" in other
    embeddings(decoder, formatter, conversations)
    asked = Request("Name a river.", 1, 0.0, 1.0, 1024)
    answer = OwnModel(decoder, formatter).answer(asked, Event())
    assert answer.prompt_tokens + answer.completion_tokens <= 112
    long = asked._replace(prompt="N" * 115)
    assert OwnModel(decoder, formatter).answer(long, Event()).finish_reason == "length"


def test_a_name_in_gz_is_packed(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [chat(*pair, mark=n) for n, pair in enumerate(PROMPTS)])
    points, target = tmp_path / "a.npy", tmp_path / "b.jsonl.gz"
    np.save(points, np.eye(5))
    select(SelectRequest(source, target, 3, "k_center", embeddings=points))
    first = target.read_bytes()
    assert len(list(read_rows(target))) == 3
    assert len(rows(tmp_path / "b.scores.jsonl")) == 5
    select(SelectRequest(source, target, 3, "k_center", embeddings=points))
    assert target.read_bytes() == first


def test_a_device_that_is_none_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "a.jsonl", [chat("a", "b")])
    line = ["instruct", "select", str(source), "--output", str(tmp_path / "b.jsonl")]
    line += ["--count", "1", "--method", "ifd", "--model", str(tmp_path)]
    for device in ("foo", "mps"):
        assert corpusmill([*line, "--device", device]) == 2
        assert f"--device {device} is none of auto, cpu, cuda, cuda:N" in capsys.readouterr().err


def test_grades_whose_product_is_no_number_are_not_scored(tmp_path: Path) -> None:
    records = [chat(*PROMPTS[0], complexity=1e300, quality=1e300)]
    records.append(chat(*PROMPTS[1], complexity=2, quality=3))
    source = write(tmp_path / "a.jsonl", records)
    points = tmp_path / "a.npy"
    np.save(points, np.eye(2))
    select(SelectRequest(source, tmp_path / "b.jsonl", 1, "deita", embeddings=points))
    scores = rows(tmp_path / "b.scores.jsonl")
    assert scores[0]["deita"] is None
    assert scores[0]["not_scored"] == "deita: grades too large"
    assert [row["scores"]["deita"] for row in rows(tmp_path / "b.jsonl")] == [6]


def test_a_number_beyond_any_scale_is_no_grade(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [chat("a", "b", complexity=10**400, quality=2)])
    with pytest.raises(UsageError, match="record 1 has no number in `complexity`"):
        select(SelectRequest(source, tmp_path / "b.jsonl", 1, "deita"))
