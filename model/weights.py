"""Weights that lie on a disk, and a decoder made of them one tensor at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.decoder import Decoder
from schemas.errors import InputError


class Weights(Protocol):
    """Where the tensors of a model come from, by the names that `Decoder` gives them."""

    @property
    def folder(self) -> Path:
        """Where they lie, for messages."""

    @property
    def config(self) -> ModelConfig:
        """The shape of the model."""

    def tensor(self, name: str) -> Tensor:
        """A whole tensor, in the type it is stored in. With tied embeddings `head.weight` is the
        embedding. Raises InputError."""


def expected_shapes(config: ModelConfig) -> dict[str, torch.Size]:
    """Names and shapes of all that a model of this shape stores: parameters and persistent
    buffers, a tied head left out."""
    shapes = {name: tensor.shape for name, tensor in hollow(config).state_dict().items()}
    if config.tie_embeddings:
        del shapes["head.weight"]
    return shapes


def stored_name(name: str, config: ModelConfig) -> str:
    """The name that a tensor is stored under: a tied head is stored as the embedding."""
    return "embedding.weight" if config.tie_embeddings and name == "head.weight" else name


def differences(stored: Mapping[str, object], expected: Mapping[str, object]) -> str | None:
    """What is missing or too much among stored names, in one phrase; None if nothing is."""
    for what, names in (
        ("is missing", [name for name in expected if name not in stored]),
        ("has no place in this model", [name for name in stored if name not in expected]),
    ):
        if names:
            others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            return f"{names[0]}{others} {what}"
    return None


def build(weights: Weights, device: torch.device, dtype: torch.dtype) -> Decoder:
    """A decoder in evaluation mode.

    It is laid out without memory, and each tensor takes its place as it is read: at no time is
    there more than the model and one tensor. Raises InputError.
    """
    decoder = hollow(weights.config)
    for name, shape in expected_shapes(weights.config).items():
        tensor = weights.tensor(name)
        if tensor.shape != shape:
            raise InputError(
                f"{weights.folder}: {name} has the shape {list(tensor.shape)}, the model's "
                f"configuration asks for {list(shape)}"
            )
        _place(decoder, name, tensor, device, dtype)
    if decoder.config.tie_embeddings:
        assert decoder.head is not None
        assert decoder.embedding is not None
        decoder.head.weight = decoder.embedding.weight  # type: ignore[assignment]
    _fill_buffers(decoder, device)
    return decoder.eval()


def hollow(config: ModelConfig) -> Decoder:
    """A decoder without memory: names and shapes."""
    with torch.device("meta"):
        return Decoder(config)


def _place(
    decoder: Decoder, name: str, tensor: Tensor, device: torch.device, dtype: torch.dtype
) -> None:
    path, _, last = name.rpartition(".")
    module = decoder.get_submodule(path)
    if last in module._parameters:
        # Copied even where nothing changes: what is mapped from a file must not be written to.
        own = tensor.to(device=device, dtype=dtype, copy=True)
        setattr(module, last, nn.Parameter(own))
    else:
        setattr(module, last, tensor.to(device=device, copy=True))


def _fill_buffers(decoder: Decoder, device: torch.device) -> None:
    """Buffers that no file holds are counters and start from zero."""
    for module in decoder.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                setattr(module, name, torch.zeros_like(buffer, device=device))
