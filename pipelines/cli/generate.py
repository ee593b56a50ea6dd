"""`corpusmill generate`: text from a trained model."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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
from schemas.errors import UsageError

if TYPE_CHECKING:
    from model.generate import Completion


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\ncorpusmill generate run --prompt 'Once upon a time'\n\n"
        "corpusmill generate run --prompt 'Once' --temperature 0 --max-new-tokens 20 --json"
    )(generate)


class _Prompt(NamedTuple):
    """What is continued."""

    text: str
    tokens: list[int]
    shown: str
    """What is shown before the text that the model writes."""


def generate(
    model: ModelFolder,
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompt", "-p", help="May be repeated; default: the start of a document."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 128,
    temperature: Temperature = 0.8,
    top_k: TopK = None,
    top_p: TopP = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Texts a prompt.")] = 1,
    seed: Seed = 1,
    system: System = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Continue the text as it is, without the chat template."),
    ] = False,
    tokenizer: TokenizerSpec = None,
    bos: Annotated[
        bool | None,
        typer.Option(
            "--bos/--no-bos",
            help="Begin with BOS; default: where a Hugging Face folder's tokenizer does. A chat "
            "template decides that itself.",
        ),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    as_json: Json = False,
) -> None:
    """Continue prompts with a trained model.

    Where the folder has a chat template, a prompt is what a user says, and the text the answer;
    --raw continues it as it is. One text is shown as it is written. Several, or --json (an object a
    line), come at the end.
    """
    with_template = not raw and prompts is not None
    speaker = load_speaker(model, tokenizer, device, dtype, with_template=with_template)
    if speaker.formatter is None:
        if system is not None:
            raise UsageError(f"--system: {model} has no chat template, or --raw leaves it aside")
        make, ends = _continued(speaker, model, bos), {speaker.tokenizer.eos_id}
    else:
        make, ends = _asked(speaker, system), set(speaker.formatter.stop_ids)
    given = [make(text) for text in prompts or [""] for _ in range(count)]
    settings = sampling_settings(max_new_tokens, temperature, top_k, top_p, seed)
    if as_json:
        for _, row in _completed(speaker, given, ends, settings):
            typer.echo(to_json(row))
    elif len(given) == 1:
        _stream(speaker, given[0], ends, settings)
    else:
        for number, (prompt, row) in enumerate(_completed(speaker, given, ends, settings)):
            typer.echo(f"--- {number + 1} of {len(given)}")
            typer.echo(visible(prompt.shown + row["text"]))


def _continued(speaker: Speaker, model: Path, bos: bool | None) -> Callable[[str], _Prompt]:
    from training.tokenizers import begins_with_bos, prompt_tokens

    words = speaker.tokenizer
    first = begins_with_bos(model, words) if bos is None else bos
    return lambda text: _Prompt(text, prompt_tokens(words, text, bos=first), text)


def _asked(speaker: Speaker, system: str | None) -> Callable[[str], _Prompt]:
    from schemas.chat import Message

    assert speaker.formatter is not None
    formatter = speaker.formatter
    before = [] if system is None else [Message(role="system", content=system)]

    def make(text: str) -> _Prompt:
        return _Prompt(text, formatter.prompt([*before, Message(role="user", content=text)]), "")

    return make


def _completed(
    speaker: Speaker, prompts: list[_Prompt], ends: Collection[int], settings: dict[str, Any]
) -> Iterator[tuple[_Prompt, dict[str, Any]]]:
    from model.generate import generate as complete
    from training.tokenizers import continuation

    start = time.perf_counter()
    ids = [prompt.tokens for prompt in prompts]
    found: list[Completion] = complete(speaker.decoder, ids, eos_id=ends, **settings)
    seconds = time.perf_counter() - start
    rate = sum(len(completion.tokens) for completion in found) / seconds
    for prompt, completion in zip(prompts, found, strict=True):
        said = list(takewhile(lambda token: token not in ends, completion.tokens))
        yield (
            prompt,
            {
                "prompt": prompt.text,
                "text": continuation(speaker.tokenizer, prompt.tokens, said),
                "tokens": completion.tokens,
                "finish_reason": completion.finish_reason,
                "tokens_per_s": round(rate, 2),
            },
        )


def _stream(
    speaker: Speaker, prompt: _Prompt, ends: Collection[int], settings: dict[str, Any]
) -> None:
    from model.generate import stream
    from training.tokenizers import pieces

    tokens = stream(speaker.decoder, prompt.tokens, eos_id=ends, **settings)
    said = takewhile(lambda token: token not in ends, tokens)
    typer.echo(visible(prompt.shown), nl=False)
    for piece in pieces(speaker.tokenizer, prompt.tokens, said):
        typer.echo(visible(piece), nl=False)
    typer.echo()
