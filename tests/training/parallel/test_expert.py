"""Experts over ranks: a step is the same, whoever holds them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.gloo import Ranks
from tests.builders.layouts import check, shape

MOE: dict[str, Any] = {"n_experts": 4, "top_k": 2, "ffn_dim": 16, "aux_coef": 0.3, "z_coef": 0.01}
BALANCE: dict[str, dict[str, Any]] = {
    "losses": MOE,
    "bias": MOE | {"balance": "bias", "bias_update_rate": 0.05, "n_shared": 1},
}

LAYOUTS: dict[str, dict[str, int]] = {
    "ep 2": {"dp_shard": 2, "ep": 2},
    "ep 4": {"dp_shard": 4, "ep": 4},
    "ep 2 of 4 shards": {"dp_shard": 4, "ep": 2},
    "ep 2, replicas 2": {"dp_replicate": 2, "dp_shard": 2, "ep": 2},
    "ep 4 over shards and context": {"dp_shard": 2, "cp": 2, "ep": 4},
    "ep 4 over context": {"cp": 4, "ep": 4},
    "ep 2 of 4 in context": {"cp": 4, "ep": 2},
    "ep 2, tp 2": {"dp_shard": 2, "tp": 2, "ep": 2},
    "tp 2 of experts, shards 2": {"dp_shard": 2, "tp": 2},
}


@pytest.mark.parametrize("balance", BALANCE)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_equals_one_process(ranks: Ranks, layout: str, balance: str) -> None:
    check(ranks, shape(moe=BALANCE[balance]), LAYOUTS[layout], accumulation=2)


def test_an_expert_without_tokens_gets_no_gradient_and_stops_nothing(ranks: Ranks) -> None:
    # 16 tokens a micro-batch and sequence choose one of 16 experts: some ranks get none.
    moe = {"n_experts": 16, "top_k": 1, "ffn_dim": 16}
    check(ranks, shape(moe=moe), {"dp_shard": 4, "ep": 4}, accumulation=2)


@pytest.mark.parametrize("layout", ["ep 4", "ep 2 of 4 shards", "ep 2 of shards and context"])
@pytest.mark.parametrize("mode", ["selective", "full"])
def test_tokens_travel_again_when_blocks_are_computed_anew(
    ranks: Ranks, layout: str, mode: str
) -> None:
    parallel = {"ep 2 of shards and context": {"dp_shard": 2, "cp": 2, "ep": 2}, **LAYOUTS}[layout]
    check(ranks, shape(moe=MOE), parallel, accumulation=2, activation_checkpointing=mode)
