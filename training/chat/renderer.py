"""A template and a tokenizer together: conversations to texts with places, and to parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.chat import Message
from schemas.errors import InputError
from training.chat.marks import Marks, Names, for_template, texts_of
from training.chat.template import ChatTemplate, Rendered
from training.tokenizers import Tokenizer

_GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")


_Render = Callable[[int, bool], Rendered]
"""The first messages, perhaps with a generation prompt."""


class Answer(NamedTuple):
    """Where what an assistant says lies in a text."""

    message: int
    """Its number in the conversation."""
    start: int
    end: int


class Layout(NamedTuple):
    """A rendered conversation."""

    text: str
    answers: list[Answer]
    mark: str
    """The character that breaks names of tokens which people wrote."""


class Renderer:
    """Texts of conversations and their parts."""

    def __init__(
        self, template: ChatTemplate, tokenizer: Tokenizer, framing: frozenset[str] | None = None
    ) -> None:
        """`framing`: see `Names`."""
        self.template = template
        self.tokenizer = tokenizer
        self.marks_answers = _GENERATION.search(template.source) is not None
        source = template.source
        markers = {n: m for n, m in tokenizer.markers.items() if m.control or n in source}
        self.names = markers
        self._names = Names(markers, framing)

    def lay_out(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        generation_prompt: bool = False,
        exact: Sequence[int] | None = None,
    ) -> Layout:
        """The text, with a place for each answer.

        For the messages whose numbers are in `exact` (None: every answer) the text up to the
        answer is that from which the assistant would go on. Raises InputError where it is not, or
        where the template refuses.
        """
        try:
            marks = Marks.for_text(texts_of(messages, tools))
            told, functions = for_template(messages, tools, self._names, marks.spelled)
        except RecursionError:
            raise InputError("its tools or tool_calls hold values nested too deeply") from None

        def render(count: int, prompt: bool) -> Rendered:
            names = self.tokenizer.token_names
            between = (marks.begin, marks.end)
            return self.template.render(
                told[:count], functions, names, marks=between, generation_prompt=prompt
            )

        whole = render(len(messages), generation_prompt)
        said = [number for number, m in enumerate(messages) if m.role == "assistant"]
        find = self._marked if self.marks_answers else self._between
        layout = Layout(whole.text, find(whole, said, render, marks.spelled), marks.spelled)
        starts = {answer.message: answer.start for answer in layout.answers}
        for number in said if exact is None else exact:
            prompt = render(number, True).text
            if starts.get(number) != len(prompt) or not whole.text.startswith(prompt):
                raise InputError(_broken(self.template.name, number))
        return layout

    def _marked(self, whole: Rendered, said: list[int], render: _Render, mark: str) -> list[Answer]:
        """The places that the template tells."""
        if len(whole.spans) != len(said):
            raise InputError(
                f"the template {self.template.name} marks {len(whole.spans)} answers of "
                f"{len(said)} with {{% generation %}}"
            )
        return [Answer(n, *span) for n, span in zip(said, whole.spans, strict=True)]

    def _between(
        self, whole: Rendered, said: list[int], render: _Render, mark: str
    ) -> list[Answer]:
        """What is there with an answer and was not before it, where the rest stays as it is."""
        found = []
        for number in said:
            before, after = render(number, True).text, render(number + 1, False).text
            if after.startswith(before) and whole.text.startswith(after):
                start = len(before)
                last = self._names.last_end(after[start:], mark)
                # Newlines after the last token are the template's.
                end = len(after) if last is None else start + last
                found.append(Answer(number, start, end))
        return found

    def parts(self, layout: Layout) -> Iterator[tuple[int | None, list[int | str]]]:
        """The parts of a text (see `Tokenizer.encode_parts`), and of which message they are the
        answer. A text is cut where an answer begins, as it is in generation."""
        at = 0
        for message, start, end in layout.answers:
            yield None, self._names.split(layout.text[at:start], layout.mark)
            yield message, self._names.split(layout.text[start:end], layout.mark)
            at = end
        yield None, self._names.split(layout.text[at:], layout.mark)


def _broken(name: str, number: int) -> str:
    return (
        f"messages[{number}]: the template {name} renders the messages before this answer in "
        "another way once it is there (a prefix is not kept), so a model would learn another text "
        "than it sees when it answers; take a template that keeps it, or only last_answer"
    )
