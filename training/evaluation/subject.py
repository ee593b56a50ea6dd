"""The model that is evaluated, with what belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from model.config import ModelConfig
from model.decoder import Decoder
from model.pretrained import load_pretrained
from schemas.checked import checked
from schemas.errors import UsageError
from training.assignments import assign
from training.tokenizers import Tokenizer, begins_with_bos, load_tokenizer

STRETCHED = ("max_seq_len", "rope")
"""Keys of a model that an evaluation may change: they change no tensor."""


class Subject(NamedTuple):
    """A decoder in evaluation mode, its tokenizer, and how its texts begin."""

    decoder: Decoder
    tokenizer: Tokenizer
    bos: bool
    """Texts begin with BOS."""
    folder: Path
    """Where they are from."""


def open_subject(
    folder: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    tokenizer: str | None = None,
    changes: Sequence[str] = (),
) -> Subject:
    """The model of a run, a checkpoint or a Hugging Face folder.

    `changes` are `max_seq_len=N` and `rope.KEY=VALUE`, see `stretched`. Raises InputError, and
    UsageError for a change that cannot be.
    """
    words = load_tokenizer(folder if tokenizer is None else tokenizer)
    decoder = load_pretrained(folder, device, dtype)
    if words.vocab_size > decoder.config.vocab_size:
        raise UsageError(
            f"{folder}: the model knows {decoder.config.vocab_size} tokens, the tokenizer has "
            f"{words.vocab_size}: is it another model's?"
        )
    decoder.config = stretched(decoder.config, changes)
    return Subject(decoder, words, begins_with_bos(folder, words), Path(folder))


def stretched(config: ModelConfig, changes: Sequence[str]) -> ModelConfig:
    """The shape with another window or rotation. The context that a scaling starts from
    (`rope.original_len`) is the one that the model had, where neither says anything of it.

    Raises UsageError that names the key.
    """
    tree: dict[str, Any] = {}
    for change in changes:
        assign(tree, change.removeprefix("model."), "--set")
    for name in tree:
        if name not in STRETCHED:
            raise UsageError(
                f"--set {name}: an evaluation can change {' and '.join(STRETCHED)} of a model"
            )
    rope = tree.get("rope", {})
    if not isinstance(rope, dict):
        raise UsageError("--set rope: holds keys, such as rope.scaling=yarn")
    was = config.model_dump()
    merged = {**was["rope"], **rope}
    if merged["original_len"] is None and merged["scaling"] != "none":
        merged["original_len"] = config.max_seq_len
    return checked(ModelConfig, {**was, **tree, "rope": merged}, "--set")
