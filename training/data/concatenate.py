"""Packing by concatenation: the documents of an epoch joined, cut into samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.errors import InputError
from training.data.batch import (
    IGNORED,
    Batch,
    IntArray,
    Pieces,
    begins_of,
    lengths_between,
    positions_and_documents,
)
from training.data.permutation import Permutation
from training.data.shards import ShardReader

_BLOCK = 64
"""Documents an entry of the list of ends: what a look-up adds up, and 1/8 byte a document."""
_CHUNK = 1 << 18


class Concatenated:
    """Samples of T places out of the joined documents of a split, shuffled anew each epoch.

    Sample k of an epoch shows tokens k * T to k * T + T - 1 of the joined documents; its labels
    are the tokens one further. So a token is shown once and is a target once, but for the first
    of an epoch. With a document mask the first token of a document is no target either: the place
    before it, an EOS, belongs to a document that says nothing of the next; every EOS is a target.

    The tail: tokens of an epoch after its last whole sample, fewer than T and one, are left out.
    The next epoch has another order, so other documents meet that fate.

    Memory: 8 bytes a document, with the order of the epoch at hand, and the mapped index.
    """

    def __init__(
        self,
        reader: ShardReader,
        split: str,
        sequence_length: int,
        mask: bool,
        key: tuple[int, str],
    ) -> None:
        """Raises InputError with too few tokens for one sample, UsageError for an unknown split."""
        self.reader, self.split, self.mask = reader, split, mask
        self.sequence_length = sequence_length
        self.tokens_per_epoch = reader.total_tokens(split)
        self.samples_per_epoch = max(self.tokens_per_epoch - 1, 0) // sequence_length
        if not self.samples_per_epoch:
            raise InputError(
                f"{reader.path}: split {split} has {self.tokens_per_epoch} tokens, one sample "
                f"takes {sequence_length + 1}; lower data.sequence_length or bring more text"
            )
        self._lengths = reader.lengths_tokens(split)
        self._key = key
        self._order: _Order | None = None

    @property
    def utilisation(self) -> float:
        """Share of places that hold a token of a document."""
        return 1.0

    def rows(self, epoch: int, start: int, count: int) -> Batch:
        """Samples `start` to `start` + `count` - 1 of an epoch."""
        size = count * self.sequence_length
        documents, firsts, counts = self._stretch(epoch, start, size + 1)
        stream = self.reader.gather(self.split, documents, firsts, counts).astype(np.int64)
        shape = count, self.sequence_length
        tokens, labels = stream[:-1].reshape(shape), stream[1:].reshape(shape)
        if not self.mask:
            places = np.arange(self.sequence_length, dtype=np.int32)
            return Batch(tokens, labels, np.tile(places, (count, 1)), None)
        boundaries = counts[:-1].cumsum()
        labels = labels.copy()
        labels.reshape(-1)[boundaries - 1] = IGNORED
        starts = begins_of(count, self.sequence_length, boundaries[boundaries < size])
        return Batch(tokens, labels, *positions_and_documents(starts, count, self.sequence_length))

    def pieces(self, epoch: int, start: int, count: int) -> Pieces:
        """Which documents stand where in those samples; rows count from 0."""
        length = self.sequence_length
        documents, firsts, counts = self._stretch(epoch, start, count * length)
        begins = np.cumsum(counts) - counts
        places = begins_of(count, length, begins)
        number = np.searchsorted(begins, places, side="right") - 1
        return Pieces(
            places // length,
            places % length,
            documents[number],
            firsts[number] + places - begins[number],
            lengths_between(places, count * length),
        )

    def _stretch(self, epoch: int, start: int, size: int) -> tuple[IntArray, IntArray, IntArray]:
        """Documents, first places in them, and counts [P] of `size` tokens from sample `start`."""
        order = self._of(epoch)
        token = start * self.sequence_length
        last = token + size - 1
        block, last_block = np.searchsorted(order.ends, [token, last], side="right").tolist()
        documents = order.documents[block * _BLOCK : (last_block + 1) * _BLOCK].astype(np.int64)
        lengths = self._lengths[documents].astype(np.int64)
        ends = np.cumsum(lengths) + (order.ends.item(block - 1) if block else 0)
        low, high = np.searchsorted(ends, [token, last], side="right").tolist()
        chosen = slice(low, high + 1)
        begins = ends[chosen] - lengths[chosen]
        firsts = np.maximum(token - begins, 0)
        counts = np.minimum(ends[chosen], last + 1) - begins - firsts
        kept = counts > 0
        return documents[chosen][kept], firsts[kept], counts[kept]

    def _of(self, epoch: int) -> _Order:
        order = self._order
        if order is None or order.epoch != epoch:
            order = self._order = _Order(
                epoch,
                self._lengths,
                Permutation(len(self._lengths), "documents", *self._key, epoch),
            )
        return order


class _Order:
    """The documents of an epoch in their order, and where every 64th of them ends."""

    def __init__(self, epoch: int, lengths: npt.NDArray[np.int32], order: Permutation) -> None:
        self.epoch = epoch
        size = len(lengths)
        self.documents: npt.NDArray[np.integer] = np.empty(size, dtype=order.dtype)
        sums = np.zeros(-(-size // _BLOCK), dtype=np.int64)
        for first in range(0, size, _CHUNK):
            part = self.documents[first : first + _CHUNK]
            order.fill(part, first)
            begins = np.arange(0, len(part), _BLOCK)
            block = first // _BLOCK
            sums[block : block + len(begins)] = np.add.reduceat(
                lengths[part], begins, dtype=np.int64
            )
        self.ends = np.cumsum(sums, out=sums)
