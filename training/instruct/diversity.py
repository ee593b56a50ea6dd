"""Choosing points that lie far from each other. Pure, and the same on every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]


def k_center(points: Points, count: int) -> list[int]:
    """Greedy k-center (Sener and Savarese, arXiv 1708.00489, algorithm 1): each next row of
    `points` [N, d] is the one that is farthest (Euclidean) from those chosen; the first is the one
    nearest to the mean. Of equals the first. Its radius is at most twice the best one. O(N count
    d)."""
    if not len(points) or count <= 0:
        return []
    # Around the mean |x|^2 - 2xc + |c|^2 loses least; of N x d numbers there is this copy alone.
    rows = _floats(points)
    rows = rows - rows.mean(axis=0, dtype=np.float64).astype(rows.dtype)
    squares = np.einsum("nd,nd->n", rows, rows)
    chosen = [int(np.argmin(squares))]
    distance = np.full(len(rows), np.inf)
    while True:
        center = rows[chosen[-1]]
        distance = np.minimum(distance, squares - 2 * (rows @ center) + center @ center)
        distance[chosen[-1]] = -np.inf
        if len(chosen) >= min(count, len(rows)):
            return chosen
        chosen.append(int(np.argmax(distance)))


def apart(points: Points, order: Sequence[int], count: int, threshold: float) -> list[int]:
    """DEITA's Repr Filter (arXiv 2312.15685, section 2.5): the first `count` rows in `order` whose
    cosine similarity with the nearest chosen one is at most `threshold` (0.9): those above it go,
    as in the authors' code."""
    rows = _floats(points)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(norms > 0, norms, 1.0)
    chosen: list[int] = []
    held = np.empty((min(count, len(rows)), rows.shape[1]), rows.dtype)
    for place in order:
        if len(chosen) == count:
            break
        if not chosen or float((held[: len(chosen)] @ rows[place]).max()) <= threshold:
            held[len(chosen)] = rows[place]
            chosen.append(place)
    return chosen


def _floats(points: Points) -> Points:
    """As they are, if they have the precision of float32 or more."""
    return points.astype(np.promote_types(points.dtype, np.float32), copy=False)
