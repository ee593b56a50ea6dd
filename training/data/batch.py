"""Rows of tokens as a step takes them, and how they are put together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IGNORED = -100
"""Label of a place that is no target, as torch's cross-entropy has it."""

PADDING = -1
"""Number of the document that padding is: below 0, as `model.decoder.Decoder.forward` has it."""

IntArray = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Samples of T places each, with what the model should say at each place."""

    tokens: npt.NDArray[np.int64]
    """[B, T]."""
    labels: npt.NDArray[np.int64]
    """[B, T]: the next token, or IGNORED."""
    positions: npt.NDArray[np.int32]
    """[B, T]: from 0 in each document of a row, or in each row without a document mask."""
    documents: npt.NDArray[np.int32] | None
    """[B, T]: number of the document in its row, from 0 on; PADDING; None: no mask."""

    @property
    def targets(self) -> int:
        """Places with a label."""
        return int(np.count_nonzero(self.labels != IGNORED))

    def part(self, start: int, end: int) -> Batch:
        """Rows `start` to `end` - 1, as views."""
        documents = None if self.documents is None else self.documents[start:end]
        return Batch(
            self.tokens[start:end], self.labels[start:end], self.positions[start:end], documents
        )


class Pieces(NamedTuple):
    """Stretches of documents [P] as they stand in rows, in order of row and place."""

    row: IntArray
    at: IntArray
    """Place of the first token in the row."""
    document: IntArray
    """Number in the split."""
    first: IntArray
    """Place of the first token in the document."""
    length: IntArray
    """Tokens that the model is shown."""


def joined(batches: list[Batch]) -> Batch:
    """Rows of several batches, one after another; all have documents or none."""
    if len(batches) == 1:
        return batches[0]
    tokens, labels, positions, documents = zip(*batches, strict=True)
    return Batch(
        np.concatenate(tokens),
        np.concatenate(labels),
        np.concatenate(positions),
        None if documents[0] is None else np.concatenate(documents),
    )


def lengths_between(starts: IntArray, end: int) -> IntArray:
    """Places from each start to the next one, or to the end."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = end - starts[-1:]
    return lengths


def begins_of(rows: int, sequence_length: int, others: IntArray) -> IntArray:
    """The first place of each row and the other places, in order and each once."""
    places = np.concatenate([np.arange(0, rows * sequence_length, sequence_length), others])
    places.sort()
    return places[np.concatenate([[True], places[1:] != places[:-1]])]


def positions_and_documents(
    starts: IntArray, rows: int, sequence_length: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Positions and document numbers [rows, T], where a document begins at each of `starts`, places
    in the joined rows in ascending order; one begins with each row. Knows of no padding."""
    lengths = lengths_between(starts, rows * sequence_length)
    positions = np.arange(rows * sequence_length, dtype=np.int32)
    positions -= np.repeat(starts.astype(np.int32), lengths)
    ranks = np.arange(len(starts), dtype=np.int32)
    if rows > 1:
        row = starts // sequence_length
        ranks -= row.searchsorted(row).astype(np.int32)
    documents = np.repeat(ranks, lengths)
    shape = rows, sequence_length
    return positions.reshape(shape), documents.reshape(shape)


def laid_out(
    pieces: Pieces, stretches: npt.NDArray[np.integer], rows: int, sequence_length: int, fill: int
) -> Batch:
    """Rows of pieces that each bring one token more than they show: the label of their last.

    `stretches` are those tokens, length + 1 a piece. Pieces of a row stand without gaps from place
    0 on; the rest is padding: `fill` as tokens, no labels, the document PADDING.
    """
    size = rows * sequence_length
    places = pieces.row * sequence_length + pieces.at
    ends = np.cumsum(pieces.length + 1)
    shown, said = np.delete(stretches, ends - 1), np.delete(stretches, ends - pieces.length - 1)
    filled = np.bincount(pieces.row, weights=pieces.length, minlength=rows).astype(np.int64)
    padded = np.flatnonzero(filled < sequence_length)
    padding = padded * sequence_length + filled[padded]
    starts = np.sort(np.concatenate([places, padding]))
    positions, documents = positions_and_documents(starts, rows, sequence_length)
    shape = rows, sequence_length
    if len(padded):
        held = np.ones(size, dtype=np.bool_)
        for start, row in zip(padding.tolist(), padded.tolist(), strict=True):
            held[start : (row + 1) * sequence_length] = False
        documents[~held.reshape(shape)] = PADDING
        tokens = np.full(size, fill, dtype=np.int64)
        labels = np.full(size, IGNORED, dtype=np.int64)
        tokens[held], labels[held] = shown, said
    else:
        tokens, labels = shown.astype(np.int64), said.astype(np.int64)
    return Batch(tokens.reshape(shape), labels.reshape(shape), positions, documents)
