from __future__ import annotations

import pytest

from schemas.errors import InputError
from training.chat.formatter import ChatFormatter
from training.chat.template import ChatTemplate
from training.evaluation.templated_text import TemplatedText
from training.tokenizers import load_tokenizer

HISTORY = [{"role": "user", "content": "Hot? "}, {"role": "assistant", "content": "It is "}]


def text_of(content: str) -> TemplatedText:
    """Of a template that writes `content` in the place of a message."""
    source = (
        "{% for message in messages %}[{{ message.role }}]{{ " + content + " }}{{ eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    return TemplatedText(ChatFormatter(ChatTemplate(source, "t"), load_tokenizer("byte")))


def test_a_message_is_begun_as_the_template_writes_it() -> None:
    kept, trimmed = text_of("message.content"), text_of("message.content | trim")
    assert kept.write(HISTORY, generation_prompt=False) == "[user]Hot? <eos>[assistant]It is "
    assert trimmed.write(HISTORY, generation_prompt=False) == "[user]Hot?<eos>[assistant]It is"
    assert kept.write(HISTORY[:1]) == "[user]Hot? <eos>[assistant]"


def test_names_become_tokens() -> None:
    text = text_of("message.content")
    written = text.write(HISTORY)
    tokens = text.tokens(written)
    assert tokens == [
        *(*b"[user]Hot? ", 256),
        *(*b"[assistant]It is ", 256),
        *b"[assistant]",
    ]
    assert tokens == text.tokens("[user]Hot? <eos>") + text.tokens(
        "[assistant]It is <eos>[assistant]"
    )
    assert text.tokens("") == []


def test_what_cannot_be_continued_is_said() -> None:
    cut = text_of("message.content[:6]")
    with pytest.raises(InputError, match="does not write the last message"):
        cut.write(
            [HISTORY[0], {"role": "assistant", "content": "A long one"}], generation_prompt=False
        )
