"""`corpusmill chat`: a conversation with a trained model."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.decoding import (
    Device,
    Dtype,
    ModelFolder,
    Seed,
    Speaker,
    System,
    Temperature,
    TokenizerSpec,
    TopK,
    TopP,
    load_speaker,
    sampling_settings,
)
from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible
from schemas.chat import Message
from schemas.errors import CorpusmillError, UsageError

if TYPE_CHECKING:
    from training.chat import ChatFormatter

RESET, EXIT = "/reset", "/exit"
_INTERRUPTED = 130
"""Exit code of a process that SIGINT ended, as shells count it."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\ncorpusmill chat run --system 'Answer in one sentence.'\n\n"
        "printf 'Hello\\nAnd now?\\n' | corpusmill chat run --temperature 0 --json"
    )(chat)


def chat(
    model: ModelFolder,
    system: System = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="At most, of each answer.")] = 512,
    temperature: Temperature = 0.7,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = 1,
    tokenizer: TokenizerSpec = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    as_json: Json = False,
) -> None:
    """Talk to a model whose folder has a chat template.

    A line is a message; answers appear as they are written. /reset begins anew, /exit (or the end
    of the input) ends. Ctrl-C stops an answer, and ends where none is being written. Messages can
    be piped in, one a line; --json writes an object a turn. When the conversation grows longer than
    the model reads, its oldest turns are dropped, with a notice.
    """
    speaker = load_speaker(model, tokenizer, device, dtype, with_template=True)
    if speaker.formatter is None:
        raise UsageError(
            f"{model}: has no chat template; `corpusmill sft` leaves one, and `corpusmill "
            "generate` continues text"
        )
    settings = sampling_settings(max_new_tokens, temperature, top_k, top_p, seed)
    talk = _Talk(speaker, speaker.formatter, system, settings)
    for line in talk.formatter.notices:
        _notice(line)
    try:
        _converse(talk, as_json)
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise typer.Exit(_INTERRUPTED) from None


class _Talk:
    """A conversation as it grows."""

    def __init__(
        self,
        speaker: Speaker,
        formatter: ChatFormatter,
        system: str | None,
        settings: dict[str, Any],
    ) -> None:
        from model.generate import Session

        self.formatter = formatter
        self._tokenizer = speaker.tokenizer
        self._limit: int = speaker.decoder.longest
        self._settings = settings
        self._system = [] if system is None else [Message(role="system", content=system)]
        self._turns: list[tuple[Message, Message]] = []
        self._count = 0
        self._session = Session(speaker.decoder)

    def reset(self) -> None:
        """Forget what was said."""
        self._turns = []

    def answer(self, text: str, show: Callable[[str], None]) -> dict[str, Any]:
        """Say a message and hand the pieces of its answer to `show`; returns the turn as a row.

        Ctrl-C ends the answer early. Raises UsageError for a message that is too long by itself.
        """
        from training.tokenizers import continuation, pieces

        message = Message(role="user", content=text)
        prompt, dropped = self._prompt(message)
        room = self._limit - len(prompt)
        settings = {**self._settings, "seed": self._settings["seed"] + self._count}
        settings["max_new_tokens"] = min(self._settings["max_new_tokens"], room)
        ends = self.formatter.stop_ids
        tokens: list[int] = []
        reason, start = "length", time.perf_counter()
        stream = self._session.stream(prompt, eos_id=ends, **settings)
        try:
            said = takewhile(lambda token: token not in ends, _kept(stream, tokens))
            for piece in pieces(self._tokenizer, prompt, said):
                show(piece)
            reason = "stop" if tokens and tokens[-1] in ends else "length"
        except KeyboardInterrupt:
            reason = "interrupted"
        seconds = time.perf_counter() - start
        answer = [token for token in tokens if token not in ends]
        whole = continuation(self._tokenizer, prompt, answer)
        self._turns.append((message, Message(role="assistant", content=whole)))
        self._count += 1
        return {
            "prompt": text,
            "text": whole,
            "tokens": tokens,
            "finish_reason": reason,
            "tokens_per_s": round(len(tokens) / seconds, 2),
            "dropped_turns": dropped,
        }

    def _prompt(self, message: Message) -> tuple[list[int], int]:
        """Tokens of the conversation, and how many turns were dropped to leave room for an answer:
        what was asked for, but no more than half of what the model reads."""
        room = min(self._settings["max_new_tokens"], self._limit // 2)
        for dropped in range(len(self._turns) + 1):
            turns = self._turns[dropped:]
            before = [m for turn in turns for m in turn]
            prompt = self.formatter.prompt([*self._system, *before, message])
            if len(prompt) + room <= self._limit or (not turns and len(prompt) < self._limit):
                self._turns = turns
                return prompt, dropped
        raise UsageError(
            f"the message has {len(prompt)} tokens with its frame, and the model reads "
            f"{self._limit}: shorten it"
        )


def _converse(talk: _Talk, as_json: bool) -> None:
    interactive = sys.stdin.isatty()
    stopped = False
    for text in _lines(interactive):
        if text == EXIT:
            return
        if text == RESET:
            talk.reset()
            _notice("the conversation begins anew")
            continue
        if not text.strip():
            continue
        try:
            row = talk.answer(text, _hidden if as_json else _shown)
        except CorpusmillError as error:
            _notice(str(error))
            if as_json:
                typer.echo(to_json({"prompt": text, "error": str(error)}))
            continue
        if row["dropped_turns"]:
            _notice(f"too long for the model: the {row['dropped_turns']} oldest turns are dropped")
        typer.echo(to_json(row) if as_json else "")
        interrupted = row["finish_reason"] == "interrupted"
        if interrupted and stopped and not interactive:
            raise KeyboardInterrupt
        stopped = interrupted


def _lines(interactive: bool) -> Iterator[str]:
    """What is typed or piped in, line by line."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if not interactive:
        yield from (line.rstrip("\r\n") for line in sys.stdin)
        return
    _notice(f"a line is a message; {RESET} begins anew, {EXIT} ends")
    while True:
        try:
            yield input("> ")
        except EOFError:
            return


def _kept(tokens: Iterator[int], kept: list[int]) -> Iterator[int]:
    for token in tokens:
        kept.append(token)
        yield token


def _shown(piece: str) -> None:
    typer.echo(visible(piece), nl=False)


def _hidden(piece: str) -> None:
    pass


def _notice(line: str) -> None:
    typer.echo(visible(line, one_line=True), err=True)
