"""Loss on text that is not trained on, by source, in nats a token and in bits a byte."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

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


def validate(
    parallel: ParallelModel, sources: Sequence[ValidationSource], accumulation: int = 1
) -> dict[str, SourceLoss]:
    """Losses by source; "" is all sources together. Every rank calls it and gets the same.

    A rank takes its consecutive part of each batch in `accumulation` pieces, as in training.
    """
    nats = torch.zeros(len(sources), dtype=torch.float64, device=parallel.device)
    for number, source in enumerate(sources):
        for made in source.batches:
            share = len(made.rows.tokens) // parallel.dims.data_ranks
            piece, start = share // accumulation, parallel.data_rank * share
            for at in range(start, start + share, piece):
                batch = on_device(made.rows.part(at, at + piece), parallel.device)
                nats[number] += parallel.evaluate(batch)[0].double()
    totals = parallel.reduce_sums(nats).tolist()
    counts = [sum(made.rows.targets for made in source.batches) for source in sources]
    sizes = [sum(made.target_bytes for made in source.batches) for source in sources]
    found = {
        source.name: _loss(*numbers)
        for source, *numbers in zip(sources, totals, counts, sizes, strict=True)
    }
    return {"": _loss(sum(totals), sum(counts), sum(sizes)), **found}


def _loss(nats: float, targets: int, text_bytes: int) -> SourceLoss:
    loss = nats / targets if targets else math.nan
    bits = nats / math.log(2) / text_bytes if text_bytes else None
    return SourceLoss(loss, bits, targets)
