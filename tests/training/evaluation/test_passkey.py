from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model.config import ModelConfig
from schemas.errors import UsageError
from training.evaluation import passkey
from training.evaluation.passkey_text import FILLER, QUESTION, answer_room, draw_key, hide_keys
from training.evaluation.subject import Subject, stretched
from training.evaluation.task import Options
from training.tokenizers import load_tokenizer


@pytest.mark.parametrize("length", [70, 128, 1000])
@pytest.mark.parametrize("depth", [0.0, 0.3, 1.0])
def test_a_key_lies_at_its_depth_and_the_answer_fits(length: int, depth: float) -> None:
    words = load_tokenizer("byte")
    drawn = draw_key(depth, 5, random.Random(1))
    (found,) = hide_keys(words, length, answer_room(words, [drawn.key]), [drawn])
    answered = words.encode(found.text + f" {found.key}.")
    assert length - 35 < len(answered) < length
    assert found.text.endswith(QUESTION)
    assert found.text.count(found.key) == 2
    before = found.text.index(QUESTION)
    filler = len(found.text) - len(f"{QUESTION} {found.key}. Remember {found.key}. {QUESTION}")
    assert abs(before - depth * filler) < 35


class Pairs:
    """Bytes, but for two zeros in a row, which are one token: keys differ in tokens."""

    eos_id = 256
    bos_id = None

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        return np.frombuffer(text.replace("00", "Z").encode(), np.uint8).astype(np.int64)


def test_every_key_has_room_for_its_answer(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def seen(decoder: object, words: object, prompts: Any, **how: Any) -> list[str]:
        asked.update(how, prompts=prompts)
        return [""] * len(prompts)

    monkeypatch.setattr(passkey, "greedy_answers", seen)
    with_pairs = subject._replace(tokenizer=Pairs())
    options = Options(lengths=(90, 250), depths=3, trials=40, digits=3)
    rows = passkey.run(with_pairs, options).rows
    answers = {len(Pairs().encode(f" {row['key']}.")) for row in rows}
    assert answers == {4, 5}
    assert asked["max_new_tokens"] == 6
    texts = [bytes(prompt).decode().replace("Z", "00") for prompt in asked["prompts"]]
    for row, prompt in zip(rows, asked["prompts"], strict=True):
        assert len(prompt) + 6 <= row["length"]
    for length in (90, 250):
        mine = [t for t, row in zip(texts, rows, strict=True) if row["length"] == length]
        assert len({sum(text.count(one) for one in FILLER) for text in mine}) == 1


def test_nothing_can_be_hidden_in_too_few_tokens(subject: Subject) -> None:
    with pytest.raises(UsageError, match="40 tokens are too few"):
        passkey.run(subject, Options(lengths=(40,)))
    with pytest.raises(UsageError, match="room for 256 tokens.*--set max_seq_len=512"):
        passkey.run(subject, Options(lengths=(128, 512)))


def test_keys_are_counted_by_length_and_depth(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reader that sees the last 100 bytes of a text alone."""

    def near(decoder: object, words: object, prompts: list[list[int]], **_: object) -> list[str]:
        answers = []
        for prompt in prompts:
            text = bytes(prompt).decode()[-100:].removesuffix(QUESTION)
            answers.append(text.partition(QUESTION)[2][:6] + ". And so on")
        return answers

    monkeypatch.setattr(passkey, "greedy_answers", near)
    options = Options(lengths=(90, 250), depths=3, trials=2)
    result = passkey.run(subject, options)
    assert result.items == 12
    assert result.value("found", "length 90") == 1
    assert result.value("found", "length 250 depth 0.00") == 0
    assert result.value("found", "length 250 depth 1.00") == 1
    assert result.value("found") == pytest.approx(8 / 12)
    assert passkey.run(subject, options).rows == result.rows
    assert passkey.run(subject, Options(lengths=(90,), seed=2)).rows[0] != result.rows[0]


def test_a_longer_number_is_not_the_key(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(end: str) -> float:
        def answers(decoder: object, words: object, prompts: list[list[int]], **_: object) -> Any:
            texts = [bytes(prompt).decode() for prompt in prompts]
            return [" " + text.partition("Remember ")[2].partition(".")[0] + end for text in texts]

        monkeypatch.setattr(passkey, "greedy_answers", answers)
        return passkey.run(subject, Options(lengths=(90,), trials=1)).value("found")

    assert [said(end) for end in ("", ".", "7", " 7")] == [1, 1, 0, 1]


def test_a_stretch_starts_from_the_window_that_was() -> None:
    config = ModelConfig(vocab_size=10, dim=16, n_layers=1, n_heads=2, max_seq_len=128)
    found = stretched(config, ["max_seq_len=512", "rope.scaling=yarn", "rope.factor=4"])
    assert (found.max_seq_len, found.rope.original_len, found.rope.factor) == (512, 128, 4.0)
    again = stretched(found, ["max_seq_len=1024", "model.rope.factor=8"])
    assert again.rope.original_len == 128
    assert stretched(config, []) == config
    assert stretched(config, ["max_seq_len=512"]).rope == config.rope


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("dim=32", "max_seq_len and rope"),
        ("rope=4", "holds keys"),
        ("rope.scaling=stretch", "rope.scaling"),
        ("max_seq_len", "write key=value"),
    ],
)
def test_other_changes_are_refused(change: str, said: str) -> None:
    config = ModelConfig(vocab_size=10, dim=16, n_layers=1, n_heads=2)
    with pytest.raises(UsageError, match=said):
        stretched(config, [change])
