from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from model.decoder import Decoder
from model.generate import generate
from model.presets import preset
from schemas.chat import Conversation, Message
from schemas.errors import InputError
from training.evaluation.exact_match import exact_match
from training.tokenizers import load_tokenizer


class Plain:
    """Contents, a line each."""

    def __init__(self, stop_ids: Sequence[int] = (256,)) -> None:
        self.tokenizer = load_tokenizer("byte")
        self.stop_ids = frozenset(stop_ids)

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> list[int]:
        text = "".join(message.content + "\n" for message in messages)
        return self.tokenizer.encode(text).tolist()


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    made = Decoder(preset("debug", 257))
    made.initialize(3)
    state = {n: t * 6 if t.ndim > 1 else t for n, t in made.state_dict().items()}
    made.load_state_dict(state)
    return made


def conversation(*contents: str) -> Conversation:
    roles = ("user", "assistant")
    return Conversation(
        messages=tuple(
            Message(role=roles[at % 2], content=text)  # type: ignore[arg-type]
            for at, text in enumerate(contents)
        )
    )


def alone(decoder: Decoder, prompt: str, count: int) -> str:
    """What the model says to one prompt, without anything beside it."""
    (found,) = generate(decoder, [list(prompt.encode())], max_new_tokens=count, temperature=0)
    tokens = [token for token in found.tokens if token != 256]
    return load_tokenizer("byte").decode(tokens)


def test_what_the_model_says_alone_counts_as_right(decoder: Decoder) -> None:
    """Prompts of several lengths share a batch, padded on the left."""
    first, second = alone(decoder, "one\n", 6), alone(decoder, "a longer question\nyes\nand?\n", 6)
    asked = [
        conversation("one", f" {first} "),
        conversation("a longer question", "yes", "and?", second),
        conversation("one", first + "x"),
    ]
    found = exact_match(decoder, Plain(), asked, max_new_tokens=6)
    assert (found.correct, found.total, found.share) == (2, 3, pytest.approx(2 / 3))
    assert found.rows[1] == {
        "prompt": "and?",
        "answer": second.strip(),
        "expected": second.strip(),
    }
    assert exact_match(decoder, Plain(), asked, max_new_tokens=6, batch_size=1) == found


def test_a_question_after_the_last_answer_is_not_looked_at(decoder: Decoder) -> None:
    said = alone(decoder, "one\n", 6)
    found = exact_match(decoder, Plain(), [conversation("one", said, "more")], max_new_tokens=6)
    assert found.correct == 1


def test_every_stop_token_ends_an_answer(decoder: Decoder) -> None:
    (free,) = generate(decoder, [list(b"one\n")], max_new_tokens=6, temperature=0)
    stop = free.tokens[2]
    expected = load_tokenizer("byte").decode(free.tokens[: free.tokens.index(stop)]).strip()
    found = exact_match(decoder, Plain([256, stop]), [conversation("one", "?")], max_new_tokens=6)
    assert found.rows[0]["answer"] == expected


def test_the_mode_of_the_decoder_stays(decoder: Decoder) -> None:
    decoder.train()
    exact_match(decoder, Plain(), [conversation("one", "two")], max_new_tokens=2)
    assert decoder.training
    decoder.eval()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (conversation("one"), "conversation 2: messages: no assistant"),
        (conversation("one", "  "), "conversation 2: messages: no assistant"),
        (conversation("x" * 300, "y"), "conversation 2: messages: 301 tokens.*room for 252"),
    ],
)
def test_records_that_cannot_be_asked_are_named(
    decoder: Decoder, bad: Conversation, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        exact_match(decoder, Plain(), [conversation("a", "b"), bad], max_new_tokens=4)
