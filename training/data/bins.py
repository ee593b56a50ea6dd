"""Best-fit decreasing in time that depends on the sizes that occur, not on the number of pieces."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def best_fit_decreasing(counts: IntArray) -> tuple[npt.NDArray[np.uint32], int]:
    """Bin of each piece, pieces sorted from the largest on, and the number of bins.

    `counts` [C + 1] are the pieces of each size; C is the capacity of a bin. Each piece goes to
    the bin with the least room that still holds it, of several the one that got so first, or else
    opens one (Ding et al., arXiv 2404.10830, section 2.2, who use a segment tree). Here bins of
    equal room are moved as a group: a bin that takes one piece of size s has less room than
    before and so takes the next, until less than s is left. One turn thus deals with all bins of
    one room, and a size takes few turns.
    """
    capacity = len(counts) - 1
    bins = np.empty(int(counts[1:].sum()), dtype=np.uint32)
    groups: dict[int, list[IntArray]] = {}
    rooms: list[int] = []
    opened = done = 0

    def put(room: int, group: IntArray) -> None:
        if room and len(group):
            if room not in groups:
                groups[room] = []
                insort(rooms, room)
            groups[room].append(group)

    for size in np.flatnonzero(counts)[::-1].tolist():
        left = int(counts[size]) if size else 0
        while left:
            place = bisect_left(rooms, size)
            if place < len(rooms):
                room = rooms.pop(place)
                group = np.concatenate(groups.pop(room))
            else:
                room = capacity
                group = np.arange(opened, opened - (-left // (capacity // size)))
                opened += len(group)
            each = room // size
            used = min(len(group), -(-left // each))
            taken = min(left, used * each)
            bins[done : done + taken] = np.repeat(group[:used], each)[:taken]
            whole = taken // each
            put(room, group[used:])
            put(room - each * size, group[:whole])
            put(room - (taken - whole * each) * size, group[whole:used])
            left -= taken
            done += taken
    return bins, opened
