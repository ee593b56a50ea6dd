from __future__ import annotations

import random
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.phases.components import (
    Edge,
    PackEdges,
    StarRound,
    UnionFind,
    connect,
    unpack_edges,
)
from stages.dedup.components import connected_components

Pairs = list[tuple[int, int]]
SCATTER = 0x9E3779B97F4A7C15F39CC0605CEDC835


def uid(number: int) -> bytes:
    """16 bytes whose order has nothing to do with that of the numbers."""
    return ((number + 1) * SCATTER % 2**128).to_bytes(16, "big")


def edges_of(pairs: Pairs) -> list[Edge]:
    return [(uid(a), uid(b)) for a, b in pairs if a != b]


def stars_of(edges: list[Edge]) -> set[Edge]:
    return {(node, root) for node, root in connected_components(edges).items() if node != root}


def random_pairs(seed: int) -> Pairs:
    source = random.Random(seed)
    return [(source.randrange(60), source.randrange(60)) for _ in range(50)]


GRAPHS: dict[str, Pairs] = {
    "none": [],
    "pair": [(0, 1)],
    "chain": [(i, i + 1) for i in range(40)],
    "star": [(17, i) for i in range(40)],
    "clique": [(i, j) for i in range(10) for j in range(i)],
    "ring and rest": [(i, (i + 1) % 12) for i in range(12)] + [(20, 21), (22, 23), (21, 22)],
    "bridged cliques": [(i, j) for i in range(8) for j in range(i)]
    + [(i, j) for i in range(10, 18) for j in range(10, i)]
    + [(7, 12)],
    "random 1": random_pairs(1),
    "random 2": random_pairs(2),
}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
@settings(deadline=None)
def test_connect_equals_union_find(pairs: Pairs) -> None:
    edges = edges_of(pairs)
    assert set(unpack_edges(connect(b"".join(a + b for a, b in edges)))) == stars_of(edges)


@pytest.mark.parametrize("name", ["none", "chain", "random 1"])
def test_union_find_in_a_pipeline(name: str) -> None:
    edges = edges_of(GRAPHS[name])
    with Pipeline(runner="FnApiRunner") as pipeline:
        stars = pipeline | beam.Create(edges) | beam.Reshuffle() | UnionFind()
        assert_that(stars, equal_to(sorted(stars_of(edges))))


def one_round(edges: list[Edge], folder: Path) -> tuple[list[Edge], int]:
    kept, changed = folder / "edges", folder / "changed"
    for path in (*folder.glob("edges*"), *folder.glob("changed*")):
        path.unlink()
    with Pipeline(runner="FnApiRunner") as pipeline:
        after, changes = pipeline | beam.Create(edges) | StarRound()
        after | beam.Map(lambda e: e[0].hex() + e[1].hex()) | "E" >> beam.io.WriteToText(str(kept))
        changes | "C" >> beam.io.WriteToText(str(changed))
    lines = [line for path in folder.glob("edges*") for line in path.read_text().split()]
    count = sum(len(path.read_text().split()) for path in folder.glob("changed*"))
    return [(bytes.fromhex(line[:32]), bytes.fromhex(line[32:])) for line in lines], count


def test_rounds_of_stars_equal_union_find(tmp_path: Path) -> None:
    """All graphs side by side, each with numbers of its own."""
    edges = [
        (uid(100 * place + a), uid(100 * place + b))
        for place, pairs in enumerate(GRAPHS.values())
        for a, b in pairs
        if a != b
    ]
    expected = stars_of(edges)
    for _ in range(8):
        edges, changed = one_round(edges, tmp_path)
        if not changed:
            break
    assert not changed
    assert sorted(edges) == sorted(expected)


def test_packed_edges_come_back() -> None:
    edges = edges_of(GRAPHS["clique"])
    packer = PackEdges()
    packer.start_bundle()
    assert [block for edge in edges for block in packer.process(edge)] == []
    (last,) = packer.finish_bundle()
    assert list(unpack_edges(last.value)) == edges
