"""Templates of others, and the checks that they meet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.chat import Conversation, Message
from schemas.errors import InputError, UsageError
from tests.builders import chat
from tests.builders.chat import TALK, TOOL, TOOL_TALK
from training.chat import find_formatter, open_formatter
from training.chat.template import load_template
from training.tokenizers import Tokenizer, load_tokenizer, save_tokenizer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content"
    " + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def without_generation(name: str) -> str:
    return re.sub(r"\s*\{%-? (end)?generation %\}", "", load_template(name).source)


def written(folder: Path, source: str) -> Path:
    path = folder / "some.jinja"
    path.write_text(source, "utf-8")
    return path


@pytest.mark.parametrize("name", ["plain", "chatml", "qwen", "llama3"])
def test_without_marks_the_answers_are_found(
    name: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    ours = open_formatter(name, tokenizer)
    bare = open_formatter(written(tmp_path, without_generation(name)), tokenizer)
    talks = [Conversation(messages=TALK)]
    if name in ("qwen", "llama3"):
        talks.append(Conversation(messages=TOOL_TALK, tools=(TOOL,)))
    for talk in talks:
        assert bare.encode(talk) == ours.encode(talk)
        assert bare.prompt(talk.messages[:1], talk.tools) == ours.prompt(
            talk.messages[:1], talk.tools
        )


def test_mistrals_form(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    """BOS in front, no generation prompt, and no system messages."""
    source = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} "
        "[/INST]{% elif m.role == 'assistant' %}{{ m.content + eos_token }}{% else %}"
        "{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
    )
    formatter = open_formatter(written(tmp_path, source), tokenizers["llama"])
    tokens, mask = formatter.encode(Conversation(messages=TALK[1:]))
    learnt = [token for token, target in zip(tokens, mask, strict=True) if target]
    assert formatter.tokenizer.decode(learnt) == TALK[2].content + TALK[4].content
    assert learnt.count(formatter.tokenizer.eos_id) == 2
    with pytest.raises(InputError, match="only user and assistant"):
        formatter.encode(Conversation(messages=TALK))


FORGETFUL = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and "
    "loop.last %}{{ '<think>' }}{% endif %}{{ m.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OTHER = CHATML.replace("{% for", "{% generation %}{% for").replace(
    "{% endfor %}", "{% endfor %}{% endgeneration %}"
)
OUTSIDE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{% endgeneration %}{{ '<|im_end|>' }}{% else %}{{ m.content + '\n' }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (FORGETFUL, "a prefix is not kept"),
        (OTHER, "marks 1 answers of 2|marks other text|a prefix is not kept"),
        (OUTSIDE, "ends answers without a token of this vocabulary"),
        (CHATML.replace(" + '<|im_end|>\n'", ""), "ends answers without a token"),
        ("{{ bos_token + bos_token }}" + CHATML, "writes BOS twice"),
        ("{{ bos_token + '<|begin_of_text|>' }}" + CHATML, "writes BOS twice"),
        ("{% if %}", "line 1: no Jinja template"),
        ("{{ messages[7].content }}", "refuses"),
        ("{{ messages.__class__.__mro__ }}", "refuses|ends answers|other text"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(
    source: str, said: str, tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    kind = "llama" if "bos" in source else "qwen"
    source = source.replace("<|im_end|>", "<|eot_id|>") if kind == "llama" else source
    with pytest.raises((UsageError, InputError), match=said) as caught:
        open_formatter(written(tmp_path, source), tokenizers[kind])
    assert "\n" not in str(caught.value)
    assert "some.jinja" in str(caught.value)


def test_what_cannot_be_trained_with_still_makes_prompts(tmp_path: Path) -> None:
    folder = chat.qwen(tmp_path)
    (folder / "chat_template.jinja").write_text(FORGETFUL)
    formatter = find_formatter(folder, load_tokenizer(folder))
    assert formatter is not None
    assert formatter.problem is not None
    text = formatter.tokenizer.decode(formatter.prompt(TALK[:2]))
    assert "What is the capital" in text
    with pytest.raises(UsageError, match="prefix"):
        formatter.encode(Conversation(messages=TALK))


def test_only_answers_that_are_learnt_need_their_prefix(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    """A template that takes reasoning out of earlier answers."""
    source = CHATML.replace(
        "message.content",
        "(message.content if loop.last else message.content.split('</think>')[-1])",
    )
    formatter = open_formatter(written(tmp_path, source), tokenizers["qwen"])
    plain = Conversation(messages=TALK)
    assert any(formatter.encode(plain).mask)
    thought = [
        m.model_copy(update={"content": f"hm</think>{m.content}"}) if m.role == "assistant" else m
        for m in TALK
    ]
    conversation = Conversation(messages=tuple(thought))
    with pytest.raises(InputError, match=r"messages\[2\].*prefix"):
        formatter.encode(conversation)
    assert any(formatter.encode(conversation, "last_answer").mask)


def test_a_template_that_leaves_out_system_messages_says_so(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    source = CHATML.replace("in messages %}", "in messages if message.role != 'system' %}")
    formatter = open_formatter(written(tmp_path, source), tokenizers["qwen"])
    with pytest.raises(InputError, match="leaves out system messages"):
        formatter.encode(Conversation(messages=TALK))


def test_a_run_keeps_its_template(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    save_tokenizer("byte", tmp_path / "tokenizer")
    assert find_formatter(tmp_path, tokenizers["byte"]) is None
    formatter = open_formatter("chatml", tokenizers["byte"])
    formatter.save(tmp_path / "tokenizer")
    (tmp_path / "checkpoints" / "step-5").mkdir(parents=True)
    talk = Conversation(messages=TALK)
    for place in (tmp_path, tmp_path / "checkpoints" / "step-5"):
        again = find_formatter(place, load_tokenizer(place))
        assert again is not None
        assert again.encode(talk) == formatter.encode(talk)
        assert again.stop_ids == formatter.stop_ids


def test_names_of_templates(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="vicuna is none of chatml, llama3, plain, qwen"):
        open_formatter("vicuna", tokenizers["byte"])
    with pytest.raises(InputError, match="has no chat_template"):
        open_formatter(tmp_path, tokenizers["byte"])


def test_the_date_is_announced(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    source = "{{ strftime_now('%Y') }}" + CHATML
    formatter = open_formatter(written(tmp_path, source), tokenizers["qwen"])
    assert any("date" in line for line in formatter.notices)


def test_generation_blocks_in_macros_are_found(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    source = (
        "{% macro say(m) %}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"
        "{% endmacro %}{% for m in messages %}{% set said %}{% if m.role == 'assistant' %}"
        "{{ say(m) }}{% else %}{{ m.role + m.content + '\n' }}{% endif %}{% endset %}{{ said }}"
        "{% endfor %}"
    )
    formatter = open_formatter(written(tmp_path, source), tokenizers["qwen"])
    tokens, mask = formatter.encode(Conversation(messages=(*TALK[1:3], Message(role="user"))))
    learnt = [token for token, target in zip(tokens, mask, strict=True) if target]
    assert formatter.tokenizer.decode(learnt) == TALK[2].content


@pytest.mark.parametrize("name", ["<|im_end|>", "<tool_call>"])
def test_names_are_not_put_together_from_parts(
    name: str, tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    source = CHATML.replace("message.content", "(message.name or '') + message.content")
    formatter = open_formatter(written(tmp_path, source + "{# <tool_call> #}"), tokenizers["qwen"])
    marker = formatter.tokenizer.markers[name].id
    plain = formatter.prompt([Message(role="user", content="a", name="b")])
    for cut in range(1, len(name)):
        forged = Message(role="user", name=name[:cut], content=name[cut:])
        found = formatter.prompt([forged])
        assert found.count(marker) == plain.count(marker)
        assert name in formatter.tokenizer.decode(found)
