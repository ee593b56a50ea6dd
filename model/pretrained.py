"""A model from a folder, whatever kind of folder it is."""

from __future__ import annotations

from pathlib import Path

import torch

from model.adapters.peft_folder import open_peft
from model.adapters.peft_lora import PEFT_CONFIG
from model.adapters.prompted import PromptedWeights
from model.adapters.record import ADAPTER
from model.adapters.stored import open_adapted
from model.checkpoint_files import CHECKPOINTS, SHAPE, CheckpointWeights, latest_checkpoint
from model.decoder import Decoder
from model.huggingface.reading import CONFIG, HuggingFaceWeights
from model.weights import Weights, build
from schemas.errors import InputError


def open_weights(folder: str | Path) -> Weights:
    """Shape and weights of a run (its latest complete checkpoint), a checkpoint, a Hugging Face
    folder, or adapters in peft's format; each tensor is read when it is asked for. Adapters are
    merged into their base in float32.

    Raises InputError in one line for a folder that is none of them, or damaged, and for virtual
    tokens, which weights alone cannot stand for.
    """
    weights = _opened(Path(folder))
    if isinstance(weights, PromptedWeights):
        raise InputError(
            f"{folder}: holds virtual tokens, which cannot be merged into a model: generate from "
            "it, or export it with --format peft"
        )
    return weights


def _opened(folder: Path) -> Weights:
    # Before config.json, as in transformers: a folder may hold both.
    if (folder / PEFT_CONFIG).exists():
        return open_peft(folder, open_weights)
    if (folder / CONFIG).exists():
        return HuggingFaceWeights(folder)
    if (folder / SHAPE).exists():
        return _checkpoint(folder)
    if (folder / CHECKPOINTS).is_dir():
        return _checkpoint(latest_checkpoint(folder))
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    raise InputError(
        f"{folder}: holds no model: no {CONFIG} (Hugging Face), no {CHECKPOINTS}/ (a run), no "
        f"{SHAPE} (a checkpoint) and no {PEFT_CONFIG} (adapters)"
    )


def _checkpoint(folder: Path) -> Weights:
    if (folder / ADAPTER).exists():
        return open_adapted(folder, open_weights)
    return CheckpointWeights(folder)


def load_pretrained(
    folder: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Decoder:
    """The decoder of a folder (see `open_weights`), in evaluation mode: tokens [B, T] -> logits
    [B, T, V]. Its weights are converted to `dtype`. Raises InputError."""
    weights = _opened(Path(folder))
    decoder = build(weights, torch.device(device), dtype)
    if isinstance(weights, PromptedWeights):
        weights.extend(decoder, dtype)
    return decoder
