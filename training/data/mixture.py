"""Which source the k-th sample of a mixture comes from, by counting alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple


class Turn(NamedTuple):
    """Whose turn it is."""

    source: int
    """Number of the source."""
    sample: int
    """How many samples of it came before."""


class Interleaving:
    """Sources by weight such that each has its share at any time.

    A binary tree over the sources: of the first c samples of a node floor(c * share + 1/2) go
    left, so the k-th turn and all counts follow from k in a walk from the root. A split leaves
    neither side more than two thirds, unless that side is a single source. Each level adds at most
    1/2 to the error of its parent times the share, so inner nodes stay below 3/2 and every source
    has k * weight samples with an error below 2. Weights are exact fractions: nothing drifts.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        """`weights` > 0, of any sum; 0.7 means seven tenths, not its nearest binary number."""
        self._sources = len(weights)
        self._root = _tree({i: Fraction(str(weight)) for i, weight in enumerate(weights)})

    def turn(self, k: int) -> Turn:
        """Source of sample k, counted from 0. O(depth)."""
        node = self._root
        while isinstance(node, _Split):
            before, after = node.left_of(k), node.left_of(k + 1)
            node, k = (node.left, before) if after > before else (node.right, k - before)
        return Turn(node, k)

    def counts(self, k: int) -> list[int]:
        """Samples of each source among the first k."""
        found = [0] * self._sources
        stack: list[tuple[_Split | int, int]] = [(self._root, k)]
        while stack:
            node, count = stack.pop()
            if isinstance(node, _Split):
                left = node.left_of(count)
                stack += [(node.left, left), (node.right, count - left)]
            else:
                found[node] = count
        return found


class _Split(NamedTuple):
    left: _Split | int
    right: _Split | int
    numerator: int
    denominator: int
    """Of the left side's share."""

    def left_of(self, count: int) -> int:
        return (2 * count * self.numerator + self.denominator) // (2 * self.denominator)


def _tree(weights: Mapping[int, Fraction]) -> _Split | int:
    if len(weights) == 1:
        return next(iter(weights))
    left: dict[int, Fraction] = {}
    right: dict[int, Fraction] = {}
    # The largest first, each to the lighter side. Let w be the last on a heavier side of several:
    # before it came one of at least w there, and the other side had no less, so w is at most a
    # third, and the side at most w and half of the rest: two thirds.
    for source, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0])):
        side = left if sum(left.values()) <= sum(right.values()) else right
        side[source] = weight
    share = sum(left.values()) / sum(weights.values())
    assert isinstance(share, Fraction)
    return _Split(_tree(left), _tree(right), share.numerator, share.denominator)
