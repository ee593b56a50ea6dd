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
    rows = np.asarray(points, dtype=np.float64)
    if not len(rows) or count <= 0:
        return []
    first = int(np.argmin(((rows - rows.mean(axis=0)) ** 2).sum(axis=1)))
    chosen, distance = [first], ((rows - rows[first]) ** 2).sum(axis=1)
    taken = np.zeros(len(rows), dtype=bool)
    taken[first] = True
    while len(chosen) < min(count, len(rows)):
        place = int(np.argmax(np.where(taken, -1.0, distance)))
        chosen.append(place)
        taken[place] = True
        distance = np.minimum(distance, ((rows - rows[place]) ** 2).sum(axis=1))
    return chosen


def apart(points: Points, order: Sequence[int], count: int, threshold: float) -> list[int]:
    """DEITA's Repr Filter (arXiv 2312.15685, section 2.4): the first `count` rows in `order` whose
    cosine similarity with the nearest chosen one is below `threshold` (0.9 there)."""
    rows = np.asarray(points, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(norms > 0, norms, 1.0)
    chosen: list[int] = []
    held = np.empty((min(count, len(rows)), rows.shape[1]))
    for place in order:
        if len(chosen) == count:
            break
        if not chosen or float((held[: len(chosen)] @ rows[place]).max()) < threshold:
            held[len(chosen)] = rows[place]
            chosen.append(place)
    return chosen
