"""A few rows to look at, picked by hash: the same rows of the same run, whatever its order."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from typing import Any, NamedTuple

import pyarrow as pa
import xxhash

from pipelines.report.tables import rows_at

EXCERPT_CHARACTERS = 600
_SEED = 0x5EED
"""Apart from the seeds of splits and shuffles, so that samples are not biased by them."""


class Place(NamedTuple):
    """Where a picked row lies; the order is that of the picking."""

    point: int
    file: str
    row: int
    path: str


Sample = dict[str, Any]
"""The columns of one row; `text` is cut to EXCERPT_CHARACTERS."""


class Picker:
    """Keeps the `size` rows with the smallest hash, in each group."""

    def __init__(self, size: int) -> None:
        self._size = size
        # Negated so that the heap's top is the worst of those held.
        self._held: defaultdict[str, list[tuple[int, Place]]] = defaultdict(list)

    def add(
        self, path: str, first_row: int, keys: pa.Array, groups: pa.Array | None = None
    ) -> None:
        """Consider a batch of rows that begins at `first_row` of a file."""
        names = [""] * len(keys) if groups is None else groups.to_pylist()
        for offset, (key, name) in enumerate(zip(keys.to_pylist(), names, strict=True)):
            held = self._held[name or ""]
            point = xxhash.xxh3_64_intdigest((key or "").encode(), seed=_SEED)
            if len(held) < self._size or point < -held[0][0]:
                self._hold(name or "", _place(point, path, first_row + offset))

    def _hold(self, group: str, place: Place) -> None:
        held, entry = self._held[group], (-place.point, place)
        if len(held) < self._size:
            heapq.heappush(held, entry)
        elif place.point < -held[0][0]:
            heapq.heapreplace(held, entry)

    def merge(self, other: Picker) -> None:
        """Consider what the other picked."""
        for group, places in other.picked().items():
            for place in places:
                self._hold(group, place)

    def state(self) -> dict[str, list[list[Any]]]:
        """Of JSON types, for `restored`; without the folder, which may be moved."""
        return {
            group: [[place.point, place.file, place.row] for place in places]
            for group, places in self.picked().items()
        }

    @classmethod
    def restored(cls, state: dict[str, list[list[Any]]], size: int, folder: str) -> Picker:
        """The picker that a state is of; its files lie in `folder`."""
        picker = cls(size)
        for group, places in state.items():
            for point, file, row in places:
                picker._hold(group, _place(point, f"{folder}/{file}", row))
        return picker

    def picked(self) -> dict[str, list[Place]]:
        """Group -> its rows in order of their hash; groups in order of their name."""
        return {
            group: sorted(place for _, place in held) for group, held in sorted(self._held.items())
        }


def _place(point: int, path: str, row: int) -> Place:
    return Place(point, path.rsplit("/", 1)[-1], row, path)


def read_samples(picked: dict[str, list[Place]], columns: list[str]) -> dict[str, list[Sample]]:
    """The picked rows of every group in their order; each file is read once."""
    by_path: defaultdict[str, list[int]] = defaultdict(list)
    for place in itertools.chain.from_iterable(picked.values()):
        by_path[place.path].append(place.row)
    found = {path: rows_at(path, rows, columns) for path, rows in by_path.items()}
    return {
        group: [_cut(found[place.path][place.row]) for place in places]
        for group, places in picked.items()
    }


def _cut(row: Sample) -> Sample:
    text = row.get("text")
    if isinstance(text, str) and len(text) > EXCERPT_CHARACTERS:
        row["text"] = text[:EXCERPT_CHARACTERS].rstrip() + "…"
    return row
