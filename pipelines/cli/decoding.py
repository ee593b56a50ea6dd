"""What `generate` and `chat` share: options of sampling, the decoder, the conversation's form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pipelines.cli.placement import device_of, dtype_of, need_training_packages

if TYPE_CHECKING:
    from model.decoder import Decoder
    from training.chat import ChatFormatter
    from training.tokenizers import Tokenizer

ModelFolder = Annotated[
    Path, typer.Argument(help="A run, a checkpoint of one, or a Hugging Face folder.")
]
Temperature = Annotated[float, typer.Option(min=0.0, help="0: always the most probable token.")]
TopK = Annotated[
    int | None, typer.Option(min=1, help="Draw from so many of the most probable tokens.")
]
TopP = Annotated[
    float | None, typer.Option(help="Draw from the fewest tokens with this probability together.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same text.")]
TokenizerSpec = Annotated[
    str | None,
    typer.Option(help="A file, or the word byte; default: the one that the folder holds."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str, typer.Option(help="float32 or bfloat16.")]
System = Annotated[
    str | None, typer.Option("--system", help="A system message before the conversation.")
]


class Speaker(NamedTuple):
    """A model that can be talked to."""

    decoder: Decoder
    tokenizer: Tokenizer
    formatter: ChatFormatter | None
    """The folder's chat template with the tokenizer; None where it has none."""


def load_speaker(
    folder: Path, tokenizer: str | None, device: str, dtype: str, *, with_template: bool
) -> Speaker:
    """Decoder, tokenizer and, if `with_template`, chat template of a folder. Raises UsageError or
    InputError in one line."""
    need_training_packages("generation")
    from model import load_pretrained
    from training.chat import find_formatter
    from training.tokenizers import load_tokenizer

    words = load_tokenizer(tokenizer if tokenizer is not None else folder)
    formatter = find_formatter(folder, words) if with_template else None
    decoder = load_pretrained(folder, device_of(device), dtype_of(dtype))
    return Speaker(decoder, words, formatter)


def sampling_settings(
    max_new_tokens: int, temperature: float, top_k: int | None, top_p: float | None, seed: int
) -> dict[str, Any]:
    """Arguments of `model.generate`."""
    return {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
    }
