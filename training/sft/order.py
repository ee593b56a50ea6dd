"""Which conversations are in which sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from training.data.batch import IntArray, Pieces
from training.data.best_fit import Placement
from training.data.permutation import Permutation
from training.sft.encoded import EncodedConversations

WINDOW_STEPS = 50
"""Steps whose samples are sorted by length together: as many as transformers' group_by_length
takes (trainer_pt_utils.py, get_length_grouped_indices, mega_batch_mult)."""


class Order(Protocol):
    """Samples of a task by number, epoch after epoch, each in an order of its own."""

    samples_per_epoch: int

    def pieces(self, number: int) -> Pieces:
        """Conversations of a sample, as pieces of one row."""

    def length(self, number: int) -> int:
        """Places that a sample fills."""


class Apart:
    """A conversation a sample."""

    def __init__(self, held: EncodedConversations, key: tuple[int, str]) -> None:
        self._places = held.lengths - 1
        self._key = key
        self.samples_per_epoch = len(held)
        self._orders: dict[int, Permutation] = {}

    def pieces(self, number: int) -> Pieces:
        """See `Order`."""
        conversation = self._conversation(number)
        zero = np.zeros(1, dtype=np.int64)
        return Pieces(zero, zero, conversation, zero, self._places[conversation])

    def length(self, number: int) -> int:
        """See `Order`."""
        return int(self._places[self._conversation(number)][0])

    def _conversation(self, number: int) -> IntArray:
        epoch, place = divmod(number, self.samples_per_epoch)
        if epoch not in self._orders:
            self._orders = {epoch: Permutation(self.samples_per_epoch, "sft", *self._key, epoch)}
        return self._orders[epoch][place]


class Packed:
    """Rows of several conversations, as many as fit."""

    def __init__(
        self, held: EncodedConversations, sequence_length: int, key: tuple[int, str]
    ) -> None:
        """No conversation may be longer than sequence_length + 1 tokens."""
        self._placement = Placement(held.lengths, sequence_length, key, str(held.path))
        self.samples_per_epoch = self._placement.samples_per_epoch
        self.utilisation = self._placement.utilisation

    def pieces(self, number: int) -> Pieces:
        """See `Order`."""
        epoch, place = divmod(number, self.samples_per_epoch)
        return self._placement.pieces(epoch, place, 1)

    def length(self, number: int) -> int:
        """See `Order`."""
        return self._placement.sequence_length


def orders_of(
    tasks: Mapping[str, EncodedConversations], packing: str, sequence_length: int, seed: int
) -> dict[str, Order]:
    """The order of each task."""
    if packing == "none":
        return {name: Apart(held, (seed, name)) for name, held in tasks.items()}
    return {name: Packed(held, sequence_length, (seed, name)) for name, held in tasks.items()}


class Window(NamedTuple):
    """Samples that are sorted by length together."""

    start: int
    samples: IntArray
    """What stands at each place from `start` on."""


def grouped(start: int, lengths: IntArray, batch_size: int, key: tuple[int, ...]) -> Window:
    """Samples `start`, `start` + 1, ... of these lengths, put into the steps that they fall into
    (sample k into step k // batch_size) so that those of a step are of like length.

    In the first window the longest step comes first, where a lack of memory shows at once; which
    step comes when is otherwise drawn from the key. So are the samples of the steps at either end
    that the window shares with others: the shortest ones would meet there epoch after epoch.
    """
    lead = min(-start % batch_size, len(lengths))
    whole = (len(lengths) - lead) // batch_size
    by_length = np.argsort(-lengths, kind="stable")
    rest = _shared(
        by_length, batch_size if whole else 0, len(lengths) - whole * batch_size, start, key
    )
    own = by_length[~np.isin(by_length, rest)]
    steps = own.reshape(whole, batch_size)
    order = Permutation(whole, "lengths", start, *key).array().astype(np.int64)
    if start == 0 and whole:
        at = int(np.flatnonzero(order == 0)[0])
        order[0], order[at] = order[at], order[0]
    placed = np.concatenate([rest[:lead], steps[order].reshape(-1), rest[lead:]])
    return Window(start, start + placed)


def _shared(
    by_length: IntArray, longest: int, count: int, start: int, key: tuple[int, ...]
) -> IntArray:
    """`count` samples for the shared steps, none of the `longest` ones."""
    others = by_length[longest:]
    drawn = Permutation(len(others), "shared", start, *key).array().astype(np.int64)
    return others[drawn[:count]]
