"""`corpusmill generate`: text from a trained model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import Json
from pipelines.cli.terminal import to_json, visible

if TYPE_CHECKING:
    from model.decoder import Decoder
    from model.generate import Completion
    from training.tokenizers import Tokenizer

_PACKAGES = ("torch", "tokenizers", "safetensors")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\ncorpusmill generate run --prompt 'Once upon a time'\n\n"
        "corpusmill generate run --prompt 'Once' --temperature 0 --max-new-tokens 20 --json"
    )(generate)


def generate(
    model: Annotated[
        Path, typer.Argument(help="A run, a checkpoint of one, or a Hugging Face folder.")
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompt", "-p", help="May be repeated; default: the start of a document."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 128,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="0: always the most probable token.")
    ] = 0.8,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Draw from so many of the most probable tokens.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw from the fewest tokens with this probability together."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Texts a prompt.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same text.")] = 1,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="A file, or the word byte; default: the one that the folder holds."),
    ] = None,
    bos: Annotated[
        bool | None,
        typer.Option(
            "--bos/--no-bos",
            help="Begin with BOS; default: where a Hugging Face folder's tokenizer does.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    as_json: Json = False,
) -> None:
    """Continue prompts with a trained model.

    One text is shown as it is written. Several, or --json (an object a line), come at the end.
    """
    _need_training_packages()
    from training.tokenizers import begins_with_bos, load_tokenizer, prompt_tokens

    words = load_tokenizer(tokenizer if tokenizer is not None else model)
    decoder = _decoder(model, device, dtype)
    texts = [text for text in prompts or [""] for _ in range(count)]
    first = begins_with_bos(model, words) if bos is None else bos
    ids = [prompt_tokens(words, text, bos=first) for text in texts]
    settings: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "eos_id": words.eos_id,
        "seed": seed,
    }
    if as_json:
        for row in _completed(decoder, words, texts, ids, settings):
            typer.echo(to_json(row))
    elif len(texts) == 1:
        _stream(decoder, words, texts[0], ids[0], settings)
    else:
        for number, row in enumerate(_completed(decoder, words, texts, ids, settings)):
            typer.echo(f"--- {number + 1} of {len(texts)}")
            typer.echo(visible(row["prompt"] + row["text"]))


def _completed(
    decoder: Decoder,
    words: Tokenizer,
    texts: list[str],
    ids: list[list[int]],
    settings: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    from model.generate import generate as complete
    from training.tokenizers import continuation

    start = time.perf_counter()
    found: list[Completion] = complete(decoder, ids, **settings)
    seconds = time.perf_counter() - start
    rate = sum(len(completion.tokens) for completion in found) / seconds
    for text, prompt, completion in zip(texts, ids, found, strict=True):
        yield {
            "prompt": text,
            "text": continuation(words, prompt, completion.tokens),
            "tokens": completion.tokens,
            "finish_reason": completion.finish_reason,
            "tokens_per_s": round(rate, 2),
        }


def _stream(
    decoder: Decoder, words: Tokenizer, text: str, ids: list[int], settings: dict[str, Any]
) -> None:
    from model.generate import stream
    from training.tokenizers import pieces

    tokens = stream(decoder, ids, **settings)
    typer.echo(visible(text), nl=False)
    for piece in pieces(words, ids, tokens):
        typer.echo(visible(piece), nl=False)
    typer.echo()


def _decoder(folder: Path, device: str, dtype: str) -> Decoder:
    import torch

    from model import load_pretrained
    from schemas.errors import UsageError

    types = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype not in types:
        raise UsageError(f"--dtype {dtype} is none of {', '.join(types)}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError:
        raise UsageError(f"--device {device} is none of auto, cpu, cuda, cuda:N") from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: there is no CUDA device here; take cpu")
    return load_pretrained(folder, place, types[dtype])


def _need_training_packages() -> None:
    from importlib.util import find_spec

    from schemas.errors import UsageError

    for name in _PACKAGES:
        if find_spec(name) is None:
            raise UsageError(
                f"{name} is not installed; generation needs: pip install 'corpusmill[train]'"
            )
