"""From band hashes to connected components: pairs, one union-find step, or rounds of stars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.phases.least import Ranked, WithLeast
from pipelines.phases.members import Member
from stages.dedup.components import dense_components

UID_BYTES = 16
BAND_BYTES = 8
BLOCK_EDGES = 65_536
"""Pairs in one packed block: 2 MB."""

Edge = tuple[bytes, bytes]
EDGE = beam.typehints.Tuple[bytes, bytes]


class BandEdges(beam.PTransform):
    """Members -> pairs of uids that agree in a band, enough of them to connect each bucket.

    A bucket of n documents gives n - 1 pairs, each to the least uid met so far: nothing of it is
    held but one uid. Which pairs depends on the order of arrival, their components do not.
    """

    def expand(self, members: beam.PCollection) -> beam.PCollection:
        """(band hash, uid) through a shuffle of about 24 bytes a band."""
        return (
            members
            | "Bands" >> beam.FlatMap(_bands).with_output_types(EDGE)
            | "Buckets" >> beam.GroupByKey()
            | "Stars" >> beam.FlatMap(_star).with_output_types(EDGE)
        )


def _bands(plain: tuple[Any, ...]) -> Iterator[Edge]:
    member = Member(*plain)
    if not member.dropped:
        for start in range(0, len(member.bands), BAND_BYTES):
            yield member.bands[start : start + BAND_BYTES], member.uid


def _star(bucket: tuple[bytes, Iterable[bytes]]) -> Iterator[Edge]:
    uids = iter(bucket[1])
    least = next(uids)
    for uid in uids:
        if uid < least:
            yield least, uid
            least = uid
        elif uid != least:
            yield uid, least


class PackEdges(beam.DoFn):
    """Pairs -> blocks of up to BLOCK_EDGES pairs, 32 bytes each, one after the other."""

    def start_bundle(self) -> None:
        """An empty block."""
        self._block = bytearray()

    def process(self, edge: Edge) -> Iterator[bytes]:
        """Append one pair."""
        self._block += edge[0]
        self._block += edge[1]
        if len(self._block) >= BLOCK_EDGES * 2 * UID_BYTES:
            yield bytes(self._block)
            self._block = bytearray()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """What is left."""
        if self._block:
            window = GlobalWindow()
            yield WindowedValue(bytes(self._block), window.max_timestamp(), (window,))


def unpack_edges(block: bytes) -> Iterator[Edge]:
    """The pairs of a block."""
    for start in range(0, len(block), 2 * UID_BYTES):
        middle = start + UID_BYTES
        yield block[start:middle], block[middle : middle + UID_BYTES]


def connect(block: bytes) -> bytes:
    """Pairs -> pairs (node, least node of its component) for every node that is not the least.

    Works on one block of any length; union-find over dense numbers instead of 16-byte ids, which
    takes about 100 bytes a pair.
    """
    ids = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(UID_BYTES), len(block) // UID_BYTES, [None, pa.py_buffer(block)]
    ).dictionary_encode()
    halves = np.frombuffer(ids.dictionary.buffers()[1], dtype=">u8").reshape(-1, 2)
    halves = halves[: len(ids.dictionary)]
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    numbers = place[ids.indices.to_numpy()]
    root = dense_components(numbers[0::2], numbers[1::2], len(order))
    nodes = halves[order]
    leaf = np.flatnonzero(root != np.arange(len(root)))
    # Concatenation gives native byte order; ids are bytes, and stay what they are.
    pairs = np.concatenate([nodes[leaf], nodes[root[leaf]]], axis=1)
    return pairs.astype(halves.dtype).tobytes()


class UnionFind(beam.PTransform):
    """Pairs -> (node, least node of its component) in one place, for graphs of a few million
    pairs: 32 bytes a pair are gathered, then connected in one go (inside a global combiner the
    same takes about forty times as long)."""

    def expand(self, edges: beam.PCollection) -> beam.PCollection:
        """Pack, gather under one key, connect."""
        return (
            edges
            | "Pack" >> beam.ParDo(PackEdges()).with_output_types(bytes)
            | "OneKey" >> beam.WithKeys(0)
            | "Gather" >> beam.GroupByKey()
            | "Connect" >> beam.FlatMap(_connect_blocks).with_output_types(EDGE)
        )


def _connect_blocks(gathered: tuple[int, Iterable[bytes]]) -> Iterator[Edge]:
    yield from unpack_edges(connect(b"".join(gathered[1])))


class StarRound(beam.PTransform):
    """One large-star and one small-star step over pairs, without a worker that sees the graph.

    Kiveris et al. 2014, "Connected components in MapReduce and beyond", algorithm
    "Alternating": repeated until a round changes nothing, what is left is one star a component
    with the least node at its centre. Gives (pairs, one element for each pair that changed).
    """

    def expand(self, edges: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        """Large star, small star, and each pair once."""
        large = (
            edges
            | "BothWays" >> beam.FlatMap(_both_ways).with_output_types(EDGE)
            | "LeastNeighbour" >> WithLeast(_same)
            | "LargeStar" >> beam.FlatMap(_large_star).with_outputs("changed", main="edges")
        )
        small = (
            large.edges
            | "Downwards" >> beam.Map(_downwards).with_output_types(EDGE)
            | "LeastBelow" >> WithLeast(_same)
            | "SmallStar" >> beam.FlatMap(_small_star).with_outputs("changed", main="edges")
        )
        once = (
            small.edges
            | "Typed" >> beam.Map(_same).with_output_types(EDGE)
            | "Once" >> beam.Distinct()
        )
        changed = (large.changed, small.changed) | "Changed" >> beam.Flatten()
        return once, changed


def _same(value: Any) -> Any:
    return value


def _both_ways(edge: Edge) -> Iterator[Edge]:
    yield edge
    yield edge[1], edge[0]


def _large_star(ranked: Ranked) -> Iterator[Any]:
    node, neighbour, least, _ = ranked
    if neighbour > node:
        centre = min(node, least)
        yield neighbour, centre
        if centre != node:
            yield TaggedOutput("changed", 1)


def _downwards(edge: Edge) -> Edge:
    return max(edge), min(edge)


def _small_star(ranked: Ranked) -> Iterator[Any]:
    node, below, least, _ = ranked
    if below == least:
        yield node, least
    else:
        yield below, least
        yield TaggedOutput("changed", 1)
