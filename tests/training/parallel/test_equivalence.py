"""Losses and gradients do not depend on how a step is laid over ranks."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

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
    "tied, ALiBi": {"tie_embeddings": True, "position": "alibi"},
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


def test_parameters_in_host_memory(ranks: Ranks) -> None:
    course, *_ = ranks.run(on_ranks, shape(), {"dp_shard": 4}, cpu_offload=True, accumulation=2)
    assert_same(course, expected("plain"))


@pytest.mark.parametrize("parallel", [{"dp_replicate": 4}, {"dp_shard": 2, "tp": 2}])
def test_bfloat16_stays_near_float32(ranks: Ranks, parallel: dict[str, int]) -> None:
    course, *_ = ranks.run(on_ranks, shape(), parallel, dtype="bfloat16", accumulation=2)
    whole = expected("plain")
    assert course is not None
    # bfloat16 has 8 bits: 0.4 % a rounding.
    assert course.losses == pytest.approx(whole.losses, rel=0.01)
    for name, gradient in course.gradients.items():
        assert gradient.dtype == torch.float32
        error = (gradient - whole.gradients[name]).norm() / whole.gradients[name].norm()
        assert error < 0.03, name


@pytest.mark.slow
def test_compiled_blocks(ranks: Ranks) -> None:
    course, *_ = ranks.run(
        on_ranks,
        shape(qk_norm=True),
        {"dp_shard": 2},
        world=2,
        timeout_seconds=600,
        compile=True,
        activation_checkpointing="selective",
    )
    assert_same(course, alone(shape(qk_norm=True)))
