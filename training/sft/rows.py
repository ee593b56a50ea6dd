"""Conversations laid out as rows of tokens and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm

import numpy as np
import numpy.typing as npt

from training.data.batch import IGNORED, Batch, Pieces, laid_out
from training.data.validation import ValidationBatch
from training.sft.encoded import EncodedConversations

SHORT_PLACES = 32


@dataclass(frozen=True)
class RowShape:
    """How wide the rows of a batch are."""

    sequence_length: int
    multiple: int = 8
    """Rows end at the first multiple of it that holds the longest sample; up to `short_places`,
    where that would cost more than it saves, at the first of `divisor`."""
    divisor: int = 1
    """Widths have to be multiples of it."""
    short_places: int = SHORT_PLACES
    masked: bool = False
    """Whether rows of one conversation tell padding by its document, too: experts count tokens."""
    full: bool = False
    """Always sequence_length: stages of a pipeline expect rows of one shape."""

    def width(self, longest: int) -> int:
        """Places of rows whose longest has so many."""
        if self.full:
            return self.sequence_length
        unit = self.divisor if longest <= self.short_places else lcm(self.multiple, self.divisor)
        return min(-(-longest // unit) * unit, self.sequence_length)


def learning_rows(
    pieces: Pieces,
    tokens: npt.NDArray[np.integer],
    targets: npt.NDArray[np.bool_],
    count: int,
    width: int,
    fill: int,
) -> Batch:
    """[count, width]: a conversation of n tokens takes n - 1 places, each with the next token as
    its label where that is a target. `tokens` and `targets` are those of the pieces, one after
    another; `fill` is the token of padding, which has no labels: what is a target is known from the
    mask, never from a token's value."""
    batch = laid_out(pieces, tokens, count, width, fill)
    learned = laid_out(pieces, targets.astype(np.int64), count, width, 0)
    return batch._replace(labels=np.where(learned.labels == 1, batch.labels, IGNORED))


def single(batch: Batch) -> Batch:
    """The same for rows of one conversation each: padding stands behind it, where causal attention
    hides it without a mask. Positions run on, for they alone say what is behind."""
    rows, width = batch.tokens.shape
    positions = np.tile(np.arange(width, dtype=np.int32), (rows, 1))
    return batch._replace(positions=positions, documents=None)


def validation_rows(
    held: EncodedConversations, shape: RowShape, batch_size: int, count: int, fill: int
) -> Iterator[ValidationBatch]:
    """The first `count` conversations in their order, a row each; rows that are left of a batch are
    padding."""
    end = min(len(held), count)
    for start in range(0, end, batch_size):
        conversations = np.arange(start, min(start + batch_size, end))
        zeros = np.zeros_like(conversations)
        places = held.lengths[conversations] - 1
        pieces = Pieces(conversations - start, zeros, conversations, zeros, places)
        width = shape.width(int(places.max()))
        made = learning_rows(pieces, *held.gather(conversations), batch_size, width, fill)
        yield ValidationBatch(made if shape.masked else single(made), 0)
