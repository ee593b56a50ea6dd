"""One manifest as an endless sequence of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from training.data.batch import Batch, Pieces, joined
from training.data.best_fit import BestFit
from training.data.concatenate import Concatenated
from training.data.shards import ShardReader


class Packing(Protocol):
    """How the documents of a split become samples of one epoch."""

    tokens_per_epoch: int
    samples_per_epoch: int

    @property
    def utilisation(self) -> float:
        """Share of places that hold a token of a document."""

    def rows(self, epoch: int, start: int, count: int) -> Batch:
        """Samples of an epoch, in order."""

    def pieces(self, epoch: int, start: int, count: int) -> Pieces:
        """Which documents stand where in them."""


class _Packings(Protocol):
    def __call__(
        self,
        reader: ShardReader,
        split: str,
        sequence_length: int,
        mask: bool,
        key: tuple[int, str],
    ) -> Packing: ...


PACKINGS: dict[str, _Packings] = {"concatenate": Concatenated, "best_fit": BestFit}
"""By the name that `data.packing` gives."""


class Source:
    """Samples of one manifest, epoch after epoch, each in an order of its own."""

    def __init__(
        self,
        name: str,
        reader: ShardReader,
        split: str,
        *,
        sequence_length: int,
        packing: str,
        document_mask: bool,
        seed: int,
    ) -> None:
        """`name` also enters the order: two sources of a mixture differ though their manifests do
        not. Raises UsageError for an unknown split, InputError for one that is too small."""
        self.name = name
        self.reader = reader
        self.split = split
        self.packing = PACKINGS[packing](
            reader, split, sequence_length, document_mask, (seed, f"{name}/{split}")
        )

    @property
    def samples_per_epoch(self) -> int:
        """Samples before documents come again."""
        return self.packing.samples_per_epoch

    def rows(self, start: int, count: int) -> Batch:
        """Samples `start` to `start` + `count` - 1 since the run began."""
        return joined([self.packing.rows(*part) for part in self._by_epoch(start, count)])

    def pieces(self, sample: int) -> Pieces:
        """Documents of one sample."""
        epoch, place = divmod(sample, self.samples_per_epoch)
        return self.packing.pieces(epoch, place, 1)

    def _by_epoch(self, start: int, count: int) -> Iterator[tuple[int, int, int]]:
        while count:
            epoch, place = divmod(start, self.samples_per_epoch)
            part = min(count, self.samples_per_epoch - place)
            yield epoch, place, part
            start += part
            count -= part
