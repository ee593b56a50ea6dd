"""Conversations as token ids: masks for training, prompts for answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from schemas.chat import Conversation, Message
from schemas.errors import InputError, UsageError
from training.chat.renderer import Layout, Renderer
from training.chat.soundness import Findings, examine, lacking, with_eos_as_end
from training.chat.template import ChatTemplate, find_template, load_template
from training.tokenizers import Tokenizer
from training.tokenizers.loading import tokenizer_folders

TrainOn = Literal["answers", "last_answer", "all"]


class Encoded(NamedTuple):
    """A conversation for training."""

    tokens: list[int]
    mask: list[bool]
    """Whether a token is a target: one that the model learns to say after those before it."""


class ChatFormatter:
    """A template with a tokenizer.

    Names of tokens that a message holds are spelled; the template alone writes BOS and the ends of
    turns. Text is cut where an answer begins, so the tokens of an answer in training are those
    that a model says after `prompt`.
    """

    def __init__(
        self, template: ChatTemplate, tokenizer: Tokenizer, *, notices: Sequence[str] = ()
    ) -> None:
        """Raises InputError where the template cannot render a question and its answer."""
        self.template = template
        self.tokenizer = tokenizer
        self._findings = examine(Renderer(template, tokenizer))
        self._renderer = Renderer(template, tokenizer, self._findings.framing)
        self.stop_ids = self._findings.end_of_turn | {tokenizer.eos_id}
        """What ends an answer: the ends of turns, and EOS."""
        self.notices = [*notices, *_notices(template, self._findings)]
        """Lines for the user."""

    @property
    def problem(self) -> str | None:
        """Why the template cannot be trained with; prompts are made all the same."""
        return self._findings.problem

    def encode(self, conversation: Conversation, train_on: TrainOn = "answers") -> Encoded:
        """Tokens [T] and mask [T].

        Targets are the answers with the token that ends each, the last of them, or every token
        after the first; in no case answers whose `train` is false. Raises InputError where the
        template has no form for the conversation, UsageError where it cannot be trained with.
        """
        if self.problem is not None:
            raise UsageError(self.problem)
        messages = conversation.messages
        self._refuse(messages, conversation.tools)
        learnt = _learnt(messages, train_on)
        layout = self._renderer.lay_out(messages, conversation.tools, exact=learnt)
        tokens, owners = self._tokens(layout)
        if train_on == "all":
            muted = {n for n, m in enumerate(messages) if m.role == "assistant" and not m.train}
            mask = [at > 0 and owner not in muted for at, owner in enumerate(owners)]
        else:
            mask = [owner in learnt for owner in owners]
        return Encoded(tokens, mask)

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[int]:
        """Tokens of messages up to where the assistant goes on. Raises InputError where the
        template has no form for them."""
        self._refuse(messages, tools)
        layout = self._renderer.lay_out(messages, tools, generation_prompt=True, exact=())
        # As with a text alone: what comes before a document is EOS.
        return self._tokens(layout)[0] or [self.tokenizer.eos_id]

    def save(self, folder: str | Path) -> Path:
        """Write the template into `folder` (RUN/tokenizer), as it is used here; returns the file.
        Raises OutputError."""
        return self.template.save(folder)

    def _tokens(self, layout: Layout) -> tuple[list[int], list[int | None]]:
        """Ids, and the message of which each is the answer."""
        parts: list[int | str] = []
        owners: list[int | None] = []
        for message, found in self._renderer.parts(layout):
            parts += found
            owners += [message] * len(found)
        encoded = self.tokenizer.encode_parts(parts)
        tokens = [token for ids in encoded for token in ids]
        return tokens, [o for o, ids in zip(owners, encoded, strict=True) for _ in ids]

    def _refuse(self, messages: Sequence[Message], tools: Sequence[Any]) -> None:
        reason = lacking(self._findings.lacks, messages, tools)
        if reason:
            raise InputError(reason)


def open_formatter(spec: str | Path, tokenizer: Tokenizer) -> ChatFormatter:
    """A formatter to train with: `spec` is a packaged template, a file or a Hugging Face folder
    (see `load_template`).

    Where answers end with a text that is no token, EOS takes its place, and a notice says so.
    Raises UsageError in one line for a template that cannot be trained with, InputError.
    """
    formatter = ChatFormatter(load_template(spec), tokenizer)
    if formatter.problem is not None:
        changed = with_eos_as_end(Renderer(formatter.template, tokenizer))
        if changed is not None:
            template, was = changed
            eos = tokenizer.token_names["eos_token"]
            notice = f"{template.name}: {was} is not in the vocabulary: {eos} ends turns instead"
            formatter = ChatFormatter(template, tokenizer, notices=[notice])
    if formatter.problem is not None:
        raise UsageError(formatter.problem)
    return formatter


def find_formatter(place: str | Path, tokenizer: Tokenizer) -> ChatFormatter | None:
    """The formatter of a run, a checkpoint of one or a Hugging Face folder; None where it has no
    chat template. One that cannot be trained with (`problem`) still makes prompts.

    Raises UsageError or InputError for a template that is broken.
    """
    template = find_template(list(tokenizer_folders(Path(place))))
    return None if template is None else ChatFormatter(template, tokenizer)


def _learnt(messages: Sequence[Message], train_on: TrainOn) -> list[int]:
    """Numbers of the answers that are targets."""
    answers = [number for number, m in enumerate(messages) if m.role == "assistant"]
    if train_on == "last_answer":
        answers = answers[-1:]
    return [number for number in answers if messages[number].train]


def _notices(template: ChatTemplate, findings: Findings) -> list[str]:
    lines = []
    if findings.spelled:
        names = ", ".join(findings.spelled)
        lines.append(
            f"{template.name}: not in the vocabulary, so spelled as text, which messages can "
            f"imitate: {names}"
        )
    if "strftime_now" in template.source:
        lines.append(f"{template.name}: writes the date: tokens change from day to day")
    return lines
