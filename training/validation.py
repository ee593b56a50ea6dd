"""Loss on text that is not trained on, by source, in nats a token and in bits a byte."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch

from training.assembly import Assembly
from training.data.batch import Batch
from training.data.validation import ValidationSource
from training.parallel.batch import on_device
from training.parallel.model import ParallelModel


class SourceLoss(NamedTuple):
    """The loss on one source, or on all of them."""

    loss: float
    """Nats a token."""
    bits_per_byte: float | None
    """Bits a byte of text: independent of the tokenizer. None where targets stand for no text."""
    targets: int


class ValidationLook:
    """Losses on held-out samples, as `val_loss` and `bits_per_byte`, of all and by source.

    With a moving average of the weights it is the average that is validated.
    """

    def __init__(self, run: Assembly, sources: Sequence[ValidationSource]) -> None:
        """Keep the rows of this rank."""
        parallel = run.parallel
        self.every = run.config.validation.every
        self.run = run
        part, parts = parallel.data_rank, parallel.dims.data_ranks
        self.sources = [held_here(source, part, parts) for source in sources]

    def __call__(self, number: int) -> dict[str, Any]:
        """See `training.stage.Look`."""
        run = self.run
        with ExitStack() as stack:
            if run.average is not None:
                stack.enter_context(run.average.swapped())
            found = validate(run.parallel, self.sources, run.config.train.accumulation)
        figures: dict[str, Any] = {}
        for source, loss in found.items():
            name = f"/{source}" if source else ""
            figures[f"val_loss{name}"] = loss.loss
            if loss.bits_per_byte is not None:
                figures[f"bits_per_byte{name}"] = loss.bits_per_byte
        return figures


class HeldSource(NamedTuple):
    """The rows of one source that this rank takes, and what all ranks take together."""

    name: str
    batches: list[Batch]
    targets: int
    target_bytes: int


def held_here(source: ValidationSource, part: int, parts: int) -> HeldSource:
    """Of each batch the `part`-th of `parts` equal consecutive stretches of rows, copied."""
    batches = []
    for made in source.batches:
        share = len(made.rows.tokens) // parts
        rows = made.rows.part(part * share, (part + 1) * share)
        batches.append(Batch(*(None if x is None else x.copy() for x in rows)))  # type: ignore[arg-type]
    targets = sum(made.rows.targets for made in source.batches)
    return HeldSource(source.name, batches, targets, sum(m.target_bytes for m in source.batches))


def validate(
    parallel: ParallelModel, sources: Sequence[HeldSource], accumulation: int = 1
) -> dict[str, SourceLoss]:
    """Losses by source; "" is all sources together. Every rank calls it and gets the same.

    A rank takes its rows of each batch in `accumulation` pieces, as in training.
    """
    nats = torch.zeros(len(sources), dtype=torch.float64, device=parallel.device)
    for number, source in enumerate(sources):
        for rows in source.batches:
            piece = len(rows.tokens) // accumulation
            for at in range(0, len(rows.tokens), piece):
                batch = on_device(rows.part(at, at + piece), parallel.device)
                nats[number] += parallel.evaluate(batch)[0].double()
    totals = parallel.reduce_sums(nats).tolist()
    found = {
        source.name: _loss(total, source.targets, source.target_bytes)
        for source, total in zip(sources, totals, strict=True)
    }
    targets = sum(source.targets for source in sources)
    size = sum(source.target_bytes for source in sources)
    return {"": _loss(sum(totals), targets, size), **found}


def _loss(nats: float, targets: int, text_bytes: int) -> SourceLoss:
    loss = nats / targets if targets else math.nan
    bits = nats / math.log(2) / text_bytes if text_bytes else None
    return SourceLoss(loss, bits, targets)
