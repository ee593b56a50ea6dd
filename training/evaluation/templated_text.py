"""Conversations as one text that a chat template wrote, in the form that lm-eval hands around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.errors import InputError
from training.chat.formatter import ChatFormatter
from training.chat.marks import Marks, Names
from training.chat.renderer import Renderer


class TemplatedText:
    """Texts of a template, and their tokens.

    In a text alone, names of tokens that somebody wrote are not told apart from those of the
    template: both become tokens, as they do in transformers.
    """

    def __init__(self, formatter: ChatFormatter) -> None:
        self.formatter = formatter
        self._names = Names(Renderer(formatter.template, formatter.tokenizer).names, None)

    def write(self, history: Sequence[Mapping[str, str]], *, generation_prompt: bool = True) -> str:
        """The text of messages {role, content}: up to where an assistant begins, or, without
        `generation_prompt`, up to where the last message would go on.

        Raises InputError where the template has no form for them.
        """
        marks = Marks.for_text("".join(message["content"] for message in history))
        *before, last = history
        # As in transformers: a template that trims messages takes the space, but not the mark.
        end = {**last, "content": last["content"] + marks.spelled + " "}
        text = self.formatter.template.render(
            history if generation_prompt else [*before, end],
            None,
            self.formatter.tokenizer.token_names,
            marks=(marks.begin, marks.end),
            generation_prompt=generation_prompt,
        ).text
        if generation_prompt:
            return text
        begun, mark, rest = text.rpartition(marks.spelled)
        if not mark:
            raise InputError(
                f"the template {self.formatter.template.name} does not write the last message as "
                "it is, so it cannot be continued"
            )
        return begun if rest.startswith(" ") else begun.rstrip()

    def tokens(self, text: str) -> list[int]:
        """Ids of a text; the template alone has written BOS. Raises InputError."""
        parts = self._names.split(text, Marks.for_text(text).spelled)
        return [token for ids in self.formatter.tokenizer.encode_parts(parts) for token in ids]
