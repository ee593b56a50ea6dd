from __future__ import annotations

from collections import defaultdict, deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.dedup.components import connected_components, dense_components

Edges = list[tuple[int, int]]
graphs = st.integers(1, 40).flatmap(
    lambda size: st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)))
)


def by_search(edges: Edges) -> dict[int, int]:
    """Least node of each component by breadth-first search."""
    near: dict[int, set[int]] = defaultdict(set)
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    least: dict[int, int] = {}
    for start in sorted(near):
        if start in least:
            continue
        least[start] = start
        queue = deque([start])
        while queue:
            for node in near[queue.popleft()]:
                if node not in least:
                    least[node] = start
                    queue.append(node)
    return least


@given(graphs)
def test_equals_a_search(edges: Edges) -> None:
    assert connected_components(edges) == by_search(edges)


@given(graphs, st.randoms(use_true_random=False))
def test_order_and_direction_do_not_matter(edges: Edges, random: object) -> None:
    turned = [(b, a) for a, b in edges]
    random.shuffle(turned)  # type: ignore[attr-defined]
    assert connected_components(turned) == connected_components(edges)


@given(graphs)
def test_dense_equals_a_search(edges: Edges) -> None:
    size = max((max(edge) for edge in edges), default=0) + 1
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    root = dense_components(pairs[:, 0], pairs[:, 1], size)
    expected = {node: node for node in range(size)} | by_search(edges)
    assert dict(enumerate(root.tolist())) == expected


@pytest.mark.parametrize("seed", [1, 2])
def test_long_chains_in_any_numbering(seed: int) -> None:
    nodes = np.random.default_rng(seed).permutation(20_000)
    root = dense_components(nodes[:-1], nodes[1:], len(nodes))
    assert not root.any()
    edges = zip(nodes[:-1].tolist(), nodes[1:].tolist(), strict=True)
    assert set(connected_components(edges).values()) == {0}


def test_ids_may_be_strings() -> None:
    assert connected_components([("c", "b"), ("x", "y"), ("b", "a")]) == {
        "a": "a",
        "b": "a",
        "c": "a",
        "x": "x",
        "y": "x",
    }


def test_no_edges() -> None:
    assert connected_components([]) == {}
