"""What `generate` and `chat` share: options of sampling, the decoder, the conversation's form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from schemas.errors import UsageError

if TYPE_CHECKING:
    from model.decoder import Decoder
    from training.chat import ChatFormatter
    from training.tokenizers import Tokenizer

_PACKAGES = ("torch", "tokenizers", "safetensors")

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
    _need_training_packages()
    from training.chat import find_formatter
    from training.tokenizers import load_tokenizer

    words = load_tokenizer(tokenizer if tokenizer is not None else folder)
    formatter = find_formatter(folder, words) if with_template else None
    return Speaker(_decoder(folder, device, dtype), words, formatter)


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


def _decoder(folder: Path, device: str, dtype: str) -> Decoder:
    import torch

    from model import load_pretrained

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

    for name in _PACKAGES:
        if find_spec(name) is None:
            raise UsageError(
                f"{name} is not installed; generation needs: pip install 'corpusmill[train]'"
            )
