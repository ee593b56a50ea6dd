"""Sequences over ranks: what each holds, and that a step is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.gloo import Ranks
from tests.builders.layouts import check, shape
from training.parallel.context import held_tokens


@given(size=st.integers(1, 8), chunk=st.integers(1, 9))
def test_ranks_hold_each_token_once_and_the_same_work(size: int, chunk: int) -> None:
    length = 2 * size * chunk
    parts = [held_tokens(length, rank, size) for rank in range(size)]
    assert torch.cat(parts).sort().values.tolist() == list(range(length))
    # A token sees as many keys as its place says.
    assert len({int((part + 1).sum()) for part in parts}) == 1


SHAPES: dict[str, dict[str, Any]] = {
    "grouped heads and a window": {"n_kv_heads": 2, "sliding_window": 5},
    "frequencies of the length at hand": {
        "rope": {"scaling": "dynamic", "factor": 4.0, "original_len": 4}
    },
    "alibi": {"position": "alibi"},
    "experts": {"moe": {"n_experts": 4, "top_k": 2, "ffn_dim": 16, "aux_coef": 0.3}},
}


@pytest.mark.parametrize("kind", SHAPES)
def test_any_rule_of_sight_holds_over_the_whole_sequence(ranks: Ranks, kind: str) -> None:
    # Dynamic scaling looks at all sequences of a call, so there is one call.
    check(ranks, shape(**SHAPES[kind]), {"cp": 2}, accumulation=1)


LAYOUTS: dict[str, dict[str, int]] = {
    "cp 4": {"cp": 4},
    "cp 2, shards 2": {"cp": 2, "dp_shard": 2},
    "cp 2, replicas 2": {"cp": 2, "dp_replicate": 2},
    "cp 2, tp 2": {"cp": 2, "tp": 2},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_equals_one_process(ranks: Ranks, layout: str) -> None:
    check(ranks, shape(n_kv_heads=2), LAYOUTS[layout], accumulation=2)
