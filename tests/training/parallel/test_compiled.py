"""Compiled blocks over ranks: a step is the same, and what is compiled is the blocks."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

import pytest
import torch
from torch._dynamo.utils import counters

from model.config import ModelConfig
from tests.builders.gloo import Ranks
from tests.builders.layouts import Course, assert_same, expected, merged, on_ranks, shape


class Compiled(NamedTuple):
    """What torch.compile did on a rank."""

    course: Course
    graphs: int
    breaks: tuple[str, ...]
    """Why, once for each reason."""


def compiled(model: ModelConfig, parallel: dict[str, int], **train: Any) -> Compiled:
    torch.compiler.reset()
    counters.clear()
    course = on_ranks(model, parallel, compile=True, **train)
    stats: Counter[str] = counters["stats"]
    return Compiled(course, stats["unique_graphs"], tuple(counters["graph_break"]))


def run(ranks: Ranks, model: ModelConfig, parallel: dict[str, int], **train: Any) -> list[Compiled]:
    """By rank, held to one process."""
    axes = ("dp_replicate", "dp_shard", "tp", "pp", "cp")
    world = math.prod(parallel.get(axis, 1) for axis in axes)
    found = ranks.run(compiled, model, parallel, world=world, timeout_seconds=600, **train)
    assert_same(merged([one.course for one in found]), expected(model))
    return found


SELECTIVE = {"activation_checkpointing": "selective"}
LAYOUTS: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "replicas 2": ({"dp_replicate": 2}, {}),
    "tp 2, shards 2": ({"tp": 2, "dp_shard": 2}, {}),
    "pp 2, shards 2": ({"pp": 2, "dp_shard": 2, "pp_microbatches": 2}, {}),
    "pp 2, cp 2": ({"pp": 2, "cp": 2, "pp_microbatches": 2}, {}),
    "cp 2, shards 2, selective": ({"cp": 2, "dp_shard": 2}, SELECTIVE),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_blocks_are_one_graph(ranks: Ranks, layout: str) -> None:
    parallel, train = LAYOUTS[layout]
    for rank in run(ranks, shape(), parallel, **train):
        assert (rank.graphs, rank.breaks) == (1, ())


MOE = {"n_experts": 4, "top_k": 2, "ffn_dim": 16, "aux_coef": 0.3, "z_coef": 0.01}
SPREAD: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "ep 2": ({"dp_shard": 2, "ep": 2}, {}),
    "ep 2 of 4 in shards and context": ({"dp_shard": 2, "cp": 2, "ep": 2}, {}),
    "ep 2, pp 2": ({"dp_shard": 2, "ep": 2, "pp": 2, "pp_microbatches": 2}, {"accumulation": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", SPREAD)
def test_blocks_are_cut_where_tokens_travel_alone(ranks: Ranks, layout: str) -> None:
    parallel, train = SPREAD[layout]
    for rank in run(ranks, shape(moe=MOE), parallel, **train):
        # Block, sparse layer and the way through the experts, each before and after the exchange:
        # no number of rows is compiled for.
        assert rank.graphs == 6
        assert rank.breaks
        assert all("RankExchange.forward" in reason for reason in rank.breaks)
