"""Packing by best fit: whole documents into samples, cut only where they are longer than one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import InputError, UsageError
from training.data.batch import Batch, IntArray, Pieces, laid_out
from training.data.bins import best_fit_decreasing
from training.data.permutation import Permutation
from training.data.shards import ShardReader

_SIXTEEN_BITS = 1 << 16


class Placement:
    """Where the tokens of documents stand in samples of T places that hold whole documents where
    they can (Ding et al., arXiv 2404.10830).

    A document of n tokens takes n - 1 places, each with the next token as its label: its EOS is a
    target and is never shown, since nothing follows it. Documents of more than T places are cut
    into chunks of T and a rest; the label of a chunk's last place is the first token of the next
    chunk, so every token but a document's first is a target exactly once in an epoch. A document
    of one token (EOS alone) has no place. What bins leave is padding.

    Which sizes share a bin follows from the sizes alone and is found once; each epoch shuffles
    which documents of a size go where, and the order of the bins. So all epochs have as many
    samples.

    Memory: about 18 bytes a document, with the order of the epoch at hand, and the lengths.
    """

    def __init__(
        self,
        lengths: npt.NDArray[np.integer],
        sequence_length: int,
        key: tuple[int, str],
        origin: str,
    ) -> None:
        """`lengths`: tokens of each document. Raises InputError, which names `origin`, where no
        document has two tokens."""
        self.sequence_length = sequence_length
        self.tokens_per_epoch = int(lengths.sum(dtype=np.int64))
        self._lengths = lengths
        places = np.maximum(self._lengths - 1, 0)
        whole = places // sequence_length
        self._rests = (places - whole * sequence_length).astype(
            np.uint16 if sequence_length <= _SIXTEEN_BITS else np.int32
        )
        cut = np.flatnonzero(whole)
        self._chunk_documents = np.repeat(cut, whole[cut])
        ends = np.cumsum(whole[cut], dtype=np.int64)
        self._chunk_numbers = np.arange(len(self._chunk_documents)) - np.repeat(
            ends - whole[cut], whole[cut]
        )
        self._bins = _Bins(np.bincount(self._rests, minlength=sequence_length + 1))
        self.samples_per_epoch = len(self._chunk_documents) + self._bins.number
        if not self.samples_per_epoch:
            raise InputError(
                f"{origin} has {self.tokens_per_epoch} tokens and no document "
                "of two or more: nothing to train on"
            )
        self._places = int(places.sum(dtype=np.int64))
        self._key = key
        self._order: _Order | None = None

    @property
    def utilisation(self) -> float:
        """Share of places that hold a token of a document."""
        return self._places / (self.samples_per_epoch * self.sequence_length)

    def pieces(self, epoch: int, start: int, count: int) -> Pieces:
        """Which documents stand where in those samples; rows count from 0."""
        length, chunks = self.sequence_length, len(self._chunk_documents)
        order = self._of(epoch)
        bins = order.bins[start : start + count].astype(np.int64)
        in_bins = np.flatnonzero(bins >= chunks)
        row, ranks = self._bins.content(bins[in_bins] - chunks)
        document = order.documents[ranks].astype(np.int64)
        rest = self._rests[document].astype(np.int64)
        last = self._lengths[document].astype(np.int64) - 1 - rest
        begins = np.cumsum(rest) - rest
        first_of_row = np.searchsorted(row, np.arange(len(in_bins)))
        at = begins - begins[first_of_row][row]
        whole = np.flatnonzero(bins < chunks)
        chunk = bins[whole]
        joined = Pieces(
            np.concatenate([in_bins[row], whole]),
            np.concatenate([at, np.zeros_like(whole)]),
            np.concatenate([document, self._chunk_documents[chunk]]),
            np.concatenate([last, self._chunk_numbers[chunk] * length]),
            np.concatenate([rest, np.full(len(whole), length)]),
        )
        sort = np.argsort(joined.row, kind="stable")
        return Pieces(*(column[sort] for column in joined))

    def _of(self, epoch: int) -> _Order:
        order = self._order
        if order is None or order.epoch != epoch:
            documents = Permutation(len(self._rests), "documents", *self._key, epoch).array()
            # Stable, and a radix sort in 16 bits.
            keys = self._rests.dtype.type(self.sequence_length - 1) - self._rests[documents]
            by_size = np.argsort(keys, kind="stable")[: self._bins.pieces]
            bins = Permutation(self.samples_per_epoch, "bins", *self._key, epoch).array()
            order = self._order = _Order(epoch, documents[by_size], bins)
        return order


class BestFit(Placement):
    """Samples of the documents of a split, see `Placement`."""

    def __init__(
        self,
        reader: ShardReader,
        split: str,
        sequence_length: int,
        mask: bool,
        key: tuple[int, str],
    ) -> None:
        """Raises InputError where no document has two tokens, UsageError for an unknown split or
        without a document mask."""
        if not mask:
            raise UsageError(
                "data.packing: best_fit puts documents beside each other that have nothing to do "
                "with each other and needs data.document_mask: true"
            )
        self.reader, self.split = reader, split
        origin = f"{reader.path}: split {split}"
        super().__init__(reader.lengths_tokens(split), sequence_length, key, origin)

    def rows(self, epoch: int, start: int, count: int) -> Batch:
        """Samples `start` to `start` + `count` - 1 of an epoch."""
        pieces = self.pieces(epoch, start, count)
        tokens = self.reader.gather(self.split, pieces.document, pieces.first, pieces.length + 1)
        fill = self.reader.manifest.eos_id
        return laid_out(pieces, tokens, count, self.sequence_length, fill)


class _Order(NamedTuple):
    """What an epoch shuffles."""

    epoch: int
    documents: npt.NDArray[np.integer]
    """Those with a rest, by its size from the largest on, equal ones in any order."""
    bins: npt.NDArray[np.integer]


class _Bins:
    """Which ranks, of pieces sorted from the largest on, lie in each bin."""

    def __init__(self, counts: IntArray) -> None:
        counts[0] = 0
        bins, self.number = best_fit_decreasing(counts)
        self.pieces = len(bins)
        ends = np.cumsum(np.bincount(bins, minlength=self.number))
        self._starts = np.concatenate([np.zeros(1, dtype=np.int64), ends])
        self._ranks = np.argsort(bins, kind="stable").astype(np.uint32)

    def content(self, bins: IntArray) -> tuple[IntArray, IntArray]:
        """For each piece of the bins [N], bin after bin: index into `bins`, and its rank."""
        starts = self._starts[bins]
        sizes = self._starts[bins + 1] - starts
        index = np.repeat(np.arange(len(bins)), sizes)
        within = np.arange(len(index)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return index, self._ranks[starts[index] + within].astype(np.int64)
