"""A model from a folder, whatever kind of folder it is."""

from __future__ import annotations

from pathlib import Path

import torch

from model.checkpoint_files import CHECKPOINTS, SHAPE, CheckpointWeights, latest_checkpoint
from model.decoder import Decoder
from model.huggingface.reading import CONFIG, HuggingFaceWeights
from model.weights import Weights, build
from schemas.errors import InputError


def open_weights(folder: str | Path) -> Weights:
    """Shape and weights of a run (its latest complete checkpoint), a checkpoint, or a Hugging Face
    folder; each tensor is read when it is asked for.

    Raises InputError in one line for a folder that is none of them, or damaged.
    """
    folder = Path(folder)
    if (folder / CONFIG).exists():
        return HuggingFaceWeights(folder)
    if (folder / SHAPE).exists():
        return CheckpointWeights(folder)
    if (folder / CHECKPOINTS).is_dir():
        return CheckpointWeights(latest_checkpoint(folder))
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    raise InputError(
        f"{folder}: holds no model: no {CONFIG} (Hugging Face), no {CHECKPOINTS}/ (a run) and no "
        f"{SHAPE} (a checkpoint)"
    )


def load_pretrained(
    folder: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Decoder:
    """The decoder of a folder (see `open_weights`), in evaluation mode: tokens [B, T] -> logits
    [B, T, V]. Its weights are converted to `dtype`. Raises InputError."""
    return build(open_weights(folder), torch.device(device), dtype)
