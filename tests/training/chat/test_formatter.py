"""Tokens of conversations: what is learnt is what is said, and nobody forges a token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.chat import Conversation, Message, ToolCall
from schemas.errors import InputError
from tests.builders.chat import QWEN, TALK, TOOL, TOOL_TALK
from training.chat import ChatFormatter, open_formatter
from training.tokenizers import Tokenizer, continuation, load_tokenizer

TEMPLATES = ("plain", "chatml", "qwen", "llama3")
WRITTEN = [
    *("<|im_end|>", "<|im_start|>", "<|eot_id|>", "<|endoftext|>"),
    *("</s>", "<eos>", "<tool_call>"),
]
FOUND, CUT = "<|im_start|>", "<\ufffe|im_s"

texts = st.lists(
    st.sampled_from([*WRITTEN, "<", "|im_end|>", "a", " ", "\n", "日本", "It is Paris."])
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\ufffe"), max_size=5),
    max_size=6,
).map("".join)
answers = st.builds(Message, role=st.just("assistant"), content=texts, train=st.booleans())
turns = st.tuples(st.builds(Message, role=st.just("user"), content=texts), answers)
talks = st.tuples(
    st.lists(st.builds(Message, role=st.just("system"), content=texts), max_size=1),
    st.lists(turns, min_size=1, max_size=3),
).map(lambda drawn: (*drawn[0], *(message for turn in drawn[1] for message in turn)))


@pytest.fixture(params=TEMPLATES)
def formatter(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> ChatFormatter:
    return open_formatter(request.param, tokenizer)


def said(formatter: ChatFormatter, messages: Sequence[Message], number: int) -> list[int]:
    """What a model that says an answer would say, by the tokens of the answer alone."""
    tokenizer = formatter.tokenizer
    prompt = formatter.prompt(messages[:number])
    (end,) = formatter.stop_ids - {tokenizer.eos_id} or {tokenizer.eos_id}
    marker = prompt[-1] in {m.id for m in tokenizer.markers.values() if m.control}
    # A piece for turns that the user defined would be found in a text: it is cut.
    content = messages[number].content
    if FOUND in tokenizer.markers and FOUND in formatter.template.source:
        content = content if tokenizer.markers[FOUND].control else content.replace("<|im_s", CUT)
    parts = tokenizer.encode_parts([end if marker else "x", *content.split("\ufffe")])
    return [token for ids in parts[1:] for token in ids] + [end]


def targets(encoded: tuple[list[int], list[bool]]) -> list[int]:
    return [token for token, learnt in zip(*encoded, strict=True) if learnt]


def check(formatter: ChatFormatter, messages: tuple[Message, ...]) -> None:
    conversation = Conversation(messages=messages)
    encoded = formatter.encode(conversation)
    numbers = [n for n, m in enumerate(messages) if m.role == "assistant"]
    expected = []
    for number in numbers:
        prompt = formatter.prompt(messages[:number])
        answer = said(formatter, messages, number)
        assert encoded.tokens[: len(prompt)] == prompt
        assert encoded.tokens[len(prompt) : len(prompt) + len(answer)] == answer
        learnt = encoded.mask[len(prompt) : len(prompt) + len(answer)]
        assert learnt == [messages[number].train] * len(answer)
        expected += answer if messages[number].train else []
    assert targets(encoded) == expected
    last = formatter.encode(conversation, "last_answer")
    final = said(formatter, messages, numbers[-1])
    assert last.tokens == encoded.tokens
    assert targets(last) == (final if messages[-1].train else [])
    whole = formatter.encode(conversation, "all")
    muted = sum(len(said(formatter, messages, n)) for n in numbers if not messages[n].train)
    assert whole.tokens == encoded.tokens
    assert not whole.mask[0]
    # With an answer that is not learnt at the very start there would be one token less.
    assert sum(whole.mask) == len(whole.tokens) - 1 - muted


def test_answers_are_learnt_as_they_are_said(formatter: ChatFormatter) -> None:
    check(formatter, TALK)


def test_the_end_of_each_answer_is_learnt(formatter: ChatFormatter) -> None:
    encoded = formatter.encode(Conversation(messages=TALK))
    ends = [token for token in targets(encoded) if token in formatter.stop_ids]
    assert len(ends) == 2
    assert targets(encoded)[-1] in formatter.stop_ids


def test_texts_are_all_there(formatter: ChatFormatter) -> None:
    text = formatter.tokenizer.decode(formatter.encode(Conversation(messages=TALK)).tokens)
    assert all(message.content in text for message in TALK)


def test_an_answer_that_is_not_to_be_learnt_is_not(formatter: ChatFormatter) -> None:
    muted = [m.model_copy(update={"train": m is not TALK[2]}) for m in TALK]
    check(formatter, tuple(muted))


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", ["byte", "qwen", "llama", "sentencepiece"])
@given(messages=talks)
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_conversation(
    kind: str, template: str, tokenizers: dict[str, Tokenizer], messages: tuple[Message, ...]
) -> None:
    formatter = open_formatter(template, tokenizers[kind])
    check(formatter, messages)
    tokens = formatter.encode(Conversation(messages=messages)).tokens
    text = formatter.tokenizer.decode(tokens)
    if kind != "sentencepiece" or "\u2581" not in "".join(m.content for m in messages):
        assert all(message.content in text for message in messages)


def test_names_of_tokens_in_messages_are_spelled(formatter: ChatFormatter) -> None:
    names = "".join([*formatter.tokenizer.markers, *WRITTEN])
    forged = tuple(m.model_copy(update={"content": f"{m.content}{names}"}) for m in TALK)
    special = {m.id for m in formatter.tokenizer.markers.values()}
    written = {n: m.id for n, m in formatter.tokenizer.markers.items()}
    found, plain = (
        [t for t in formatter.encode(Conversation(messages=messages)).tokens if t in special]
        for messages in (forged, TALK)
    )
    # What the template does not write is no mark of turns: a piece of text like others.
    ordinary = {
        number
        for name, number in written.items()
        if not formatter.tokenizer.markers[name].control and name not in formatter.template.source
    }
    answers_only = {written[n] for n in ("<tool_call>", "</tool_call>") if n in written}
    assert [t for t in found if t not in ordinary | answers_only] == plain
    text = formatter.tokenizer.decode(formatter.encode(Conversation(messages=forged)).tokens)
    assert text.count(WRITTEN[0]) >= len(forged)


def test_names_inside_tools_are_spelled(tokenizers: dict[str, Tokenizer]) -> None:
    formatter = open_formatter("qwen", tokenizers["qwen"])
    call = TOOL_TALK[1].tool_calls[0]
    bad = "<|im_end|></tool_call>"
    forged_call = call.model_copy(update={"arguments": {bad: bad, "list": [bad]}})
    forged = (
        TOOL_TALK[0],
        TOOL_TALK[1].model_copy(update={"tool_calls": (forged_call,)}),
        TOOL_TALK[2].model_copy(update={"content": bad}),
        TOOL_TALK[3],
    )
    tool = {"type": "function", "function": {"name": "f", "description": bad}}
    ids = {m.id for m in formatter.tokenizer.markers.values()}
    found, plain = (
        [t for t in formatter.encode(Conversation(messages=m, tools=(t,))).tokens if t in ids]
        for m, t in ((forged, tool), (TOOL_TALK, TOOL))
    )
    assert found == plain


@pytest.mark.parametrize("template", ["qwen", "llama3"])
def test_tools(template: str, tokenizer: Tokenizer) -> None:
    formatter = open_formatter(template, tokenizer)
    conversation = Conversation(messages=TOOL_TALK, tools=(TOOL,))
    encoded = formatter.encode(conversation)
    text = formatter.tokenizer.decode(encoded.tokens)
    for part in ("Weather of a place", '"place": "Bern"', '{"degrees": 7}', "Seven degrees."):
        assert part in text
    for number in (1, 3):
        prompt = formatter.prompt(TOOL_TALK[:number], (TOOL,))
        assert encoded.tokens[: len(prompt)] == prompt
        assert encoded.mask[len(prompt)]
    assert sum(token in formatter.stop_ids for token in targets(encoded)) == 2


@pytest.mark.parametrize("template", ["plain", "chatml"])
def test_what_a_template_has_no_form_for_is_refused(template: str, tokenizer: Tokenizer) -> None:
    formatter = open_formatter(template, tokenizer)
    with pytest.raises(InputError, match=f"{template} has no form for tool"):
        formatter.encode(Conversation(messages=TOOL_TALK))
    with pytest.raises(InputError, match=f"{template} has no form for tools"):
        formatter.prompt(TOOL_TALK[:1], (TOOL,))


def test_values_nested_too_deeply_are_refused(tokenizers: dict[str, Tokenizer]) -> None:
    deep: dict[str, object] = {}
    for _ in range(800):
        deep = {"a": deep}
    said = Message(role="assistant", tool_calls=(ToolCall(name="f", arguments=deep),))
    formatter = open_formatter("qwen", tokenizers["qwen"])
    for messages, tools in (((TALK[1], said), ()), (TALK[:3], ({**TOOL, "x": deep},))):
        with pytest.raises(InputError, match="nested too deeply"):
            formatter.encode(Conversation(messages=messages, tools=tools))


def test_there_is_never_a_second_bos(tokenizers: dict[str, Tokenizer]) -> None:
    formatter = open_formatter("llama3", tokenizers["llama"])
    bos = formatter.tokenizer.bos_id
    for tokens in (
        formatter.encode(Conversation(messages=TALK)).tokens,
        formatter.prompt(TALK[:2]),
        formatter.prompt([Message(role="user", content="<|begin_of_text|>")]),
    ):
        assert tokens[0] == bos
        assert tokens.count(bos) == 1


def test_markers_that_are_missing_are_named(tokenizers: dict[str, Tokenizer]) -> None:
    formatter = open_formatter("chatml", tokenizers["byte"])
    assert formatter.stop_ids == {256}
    first, second = formatter.notices
    assert "<|im_end|> is not in the vocabulary: <eos> ends turns" in first
    assert "<|im_start|>" in second
    assert open_formatter("plain", tokenizers["byte"]).notices == []
    known = open_formatter("chatml", tokenizers["qwen"])
    assert known.notices == []
    assert known.stop_ids == {QWEN.index("<|im_end|>"), QWEN.index("<|endoftext|>")}


def test_bytes_as_plain(tokenizers: dict[str, Tokenizer]) -> None:
    formatter = open_formatter("plain", tokenizers["byte"])
    messages = (Message(role="user", content="Hi"), Message(role="assistant", content="Ho"))
    encoded = formatter.encode(Conversation(messages=messages))
    assert encoded.tokens == [*b"Hi\n", *b"Ho", 256]
    assert encoded.mask == [False] * 3 + [True] * 3
    assert formatter.prompt(messages[:1]) == [*b"Hi\n"]


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_mistral(version: str, shared_data: Path) -> None:
    models = shared_data / "lists_and_models" / "models"
    tokenizer = load_tokenizer(models / f"mistral_tokenizer.model.{version}")
    for template in TEMPLATES:
        formatter = open_formatter(template, tokenizer)
        check(formatter, TALK)
        prompt = formatter.prompt(TALK[:2])
        answer = said(formatter, TALK, 2)
        assert continuation(tokenizer, prompt, answer) == "It is Paris."
        forged = formatter.prompt([Message(role="user", content="<s></s>[INST]")])
        assert tokenizer.eos_id not in forged[:-1] or template != "plain"
        assert forged.count(1) <= 1
