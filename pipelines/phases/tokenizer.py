"""The tokenizer of a run: the recipe's model, or one trained on a hashed sample of kept text."""

from __future__ import annotations

import heapq
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from pipelines import storage
from pipelines.phases.finish import TRAIN
from pipelines.workspace import Marker, Workspace
from schemas.errors import CorpusmillError
from schemas.recipe import Recipe, Tokenizer
from stages import tokens

FILE_NAME = "tokenizer.model"
_SAMPLE_SEED = 0x5A


def provide_tokenizer(
    recipe: Recipe, names: list[str], key: str, workspace: Workspace, train_bytes: int
) -> dict[str, Any]:
    """Put the tokenizer into OUT/shards and mark it; returns the marker's content.

    Training reads the documents whose hashed id falls under sample_bytes / train_bytes, in order
    of that hash: the same text in the same order, whatever wrote the files.
    """
    marker = Marker(workspace.work("tokenizer.done.json"))
    target = workspace.shards(FILE_NAME)
    before = marker.read(key)
    if before is not None:
        return before
    started, cpu_started = time.monotonic(), time.process_time()
    if recipe.tokenizer.model is not None:
        storage.write_bytes(target, storage.read_bytes(recipe.tokenizer.model))
    else:
        _train(recipe.tokenizer, names, workspace, target, train_bytes)
    content = {
        "trained": recipe.tokenizer.model is None,
        "cpu_seconds_by_step": {"tokenizer": round(time.process_time() - cpu_started, 6)},
        "seconds": round(time.monotonic() - started, 3),
    }
    marker.write(key, content, [target])
    return content


def _train(
    settings: Tokenizer, names: list[str], workspace: Workspace, target: str, train_bytes: int
) -> None:
    if train_bytes == 0:
        raise CorpusmillError(
            "every kept document fell into validation, so there is no text to train a tokenizer "
            "on: lower shards.validation_fraction, or name a model with --set tokenizer.model=FILE"
        )
    share = min(1.0, settings.sample_bytes / train_bytes)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / FILE_NAME
        tokens.train_sentencepiece(_sample(names, workspace, share), local, settings)
        storage.write_bytes(target, local.read_bytes())


def _sample(names: list[str], workspace: Workspace, share: float) -> Iterator[str]:
    """Texts of the training split whose point is below `share`, in order of point."""
    chosen: list[tuple[int, str, str]] = []
    for name in names:
        path = workspace.path("documents", f"{name}.parquet")
        table = storage.read_table(path, ["id", "split", "text"])
        for id_, split, text in zip(*(c.to_pylist() for c in table.columns), strict=True):
            point = xxhash.xxh3_64_intdigest(id_.encode(), seed=_SAMPLE_SEED)
            if split == TRAIN and point < share * 2**64:
                heapq.heappush(chosen, (point, id_, text))
    while chosen:
        yield heapq.heappop(chosen)[2]


def load_tokenizer(workspace: Workspace) -> tokens.Tokenizer:
    """The run's tokenizer, from wherever OUT lies."""
    path = workspace.shards(FILE_NAME)
    return tokens.Tokenizer(storage.read_bytes(path), path)
