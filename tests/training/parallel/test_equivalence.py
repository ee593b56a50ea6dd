"""Losses and gradients do not depend on how a step is laid over ranks."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.builders.gloo import Ranks
from tests.builders.layouts import Course, alone, assert_same, on_ranks, shape

LAYOUTS: dict[str, dict[str, int]] = {
    "ddp 4": {"dp_replicate": 4},
    "fsdp 4": {"dp_shard": 4},
    "hsdp 2x2": {"dp_replicate": 2, "dp_shard": 2},
    "tp 4": {"tp": 4},
    "fsdp 2, tp 2": {"dp_shard": 2, "tp": 2},
    "replicas 2, tp 2": {"dp_replicate": 2, "tp": 2},
}
"""Each on four ranks."""

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied": {"tie_embeddings": True},
    "qk norm, biases": {"qk_norm": True, "qkv_bias": True, "out_bias": True, "mlp_bias": True},
}


@cache
def expected(kind: str) -> Course:
    return alone(shape(**SHAPES[kind]))


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("accumulation", [1, 4])
def test_one_process_without_a_group(kind: str, accumulation: int) -> None:
    assert_same(on_ranks(shape(**SHAPES[kind]), {}, accumulation=accumulation), expected(kind))


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_equals_one_process(ranks: Ranks, layout: str, kind: str) -> None:
    course, *_ = ranks.run(on_ranks, shape(**SHAPES[kind]), LAYOUTS[layout], accumulation=2)
    assert_same(course, expected(kind))


@pytest.mark.parametrize("mode", ["selective", "full"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_recomputed_activations_change_nothing(ranks: Ranks, layout: str, mode: str) -> None:
    kind = "qk norm, biases"
    course, *_ = ranks.run(
        on_ranks, shape(**SHAPES[kind]), LAYOUTS[layout], activation_checkpointing=mode
    )
    assert_same(course, expected(kind))
