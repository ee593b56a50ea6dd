from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from tests.builders.layouts import configuration, shape
from training.config import Parallel
from training.parallel.dims import ParallelDims

degrees = st.integers(1, 4)


@given(replicate=degrees, shard=degrees, tp=degrees, pp=degrees, cp=degrees)
def test_what_is_left_goes_to_shards(replicate: int, shard: int, tp: int, pp: int, cp: int) -> None:
    world = replicate * shard * tp * pp * cp
    parallel = Parallel(dp_replicate=replicate, dp_shard=-1, tp=tp, pp=pp, cp=cp)
    dims = ParallelDims.of(parallel, world)
    assert dims.dp_shard == shard
    assert dims.world_size == world
    assert dims == ParallelDims.of(parallel.model_copy(update={"dp_shard": shard}), world)


@pytest.mark.parametrize(
    ("parallel", "world", "message"),
    [
        (
            {"dp_shard": 2, "tp": 3},
            4,
            r"parallel: dp_shard 2 \* dp_replicate 1 \* tp 3 \* pp 1 \* cp 1 = 6, but there are 4 "
            "ranks; start 6, or set dp_shard to -1",
        ),
        (
            {"dp_shard": -1, "tp": 3},
            4,
            "dp_replicate 1 .* = 3 does not divide the 4 ranks, .* start a multiple of 3",
        ),
        ({"dp_shard": 1}, 8, "= 1, but there are 8 ranks"),
        ({"dp_shard": 2, "ep": 4}, 2, r"ep: 4 does not divide dp_shard \* cp = 2 \* 1"),
    ],
)
def test_degrees_that_do_not_fit_the_ranks(
    parallel: dict[str, int], world: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        ParallelDims.of(Parallel(**parallel), world)
    assert "\n" not in str(raised.value)


def check(dims: ParallelDims, **train: Any) -> None:
    keys = ("n_layers", "n_heads", "n_kv_heads", "ffn_dim", "moe")
    model = {key: train.pop(key) for key in keys if key in train}
    dims.check(configuration({}, **train), shape(**model), 16)


@pytest.mark.parametrize(
    ("dims", "changes", "message"),
    [
        (ParallelDims(tp=3), {}, "parallel.tp: 3 does not divide model.n_heads 4"),
        (ParallelDims(tp=4), {"n_kv_heads": 2}, "4 does not divide model.n_kv_heads 2"),
        (ParallelDims(tp=4), {"ffn_dim": 50}, "4 does not divide model.ffn_dim 50"),
        (ParallelDims(pp=3), {}, "parallel.pp: 3 stages for model.n_layers 2"),
        (
            ParallelDims(pp=2, pp_parts=2, pp_microbatches=2),
            {},
            r"parallel.pp: 2 \* pp_parts 2 = 4 stages for model.n_layers 2",
        ),
        (ParallelDims(pp_parts=2), {}, "pp_parts: 2 stages a rank, but parallel.pp is 1"),
        (
            ParallelDims(pp=2, pp_parts=2, pp_microbatches=5),
            {"n_layers": 4},
            "pp_microbatches: 5 cannot be dealt into the 2 rounds of interleaved stages",
        ),
        (ParallelDims(cp=3), {}, r"2 \* cp = 6 does not divide data.sequence_length 16"),
        (ParallelDims(dp_shard=2, ep=2), {}, "the model has no experts"),
        (
            ParallelDims(dp_shard=2, ep=2),
            {"moe": {"n_experts": 3, "top_k": 1}},
            "ep: 2 does not divide model.moe.n_experts 3",
        ),
        (
            ParallelDims(dp_replicate=2, dp_shard=3),
            {},
            r"8 is no multiple of data ranks 6 \* accumulation 1 = 6; 12 is the next",
        ),
        (ParallelDims(), {"accumulation": 3}, "accumulation 3 = 3; 9 is the next"),
        (ParallelDims(pp=2, pp_microbatches=16), {}, "pp_microbatches 16 = 16; 16 is the next"),
        (ParallelDims(), {"cpu_offload": True}, "only sharded parameters can leave the device"),
        (ParallelDims(dp_replicate=2), {"cpu_offload": True}, "set parallel.dp_shard above 1"),
    ],
)
def test_a_model_or_batch_that_does_not_fit(
    dims: ParallelDims, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        check(dims, **changes)
    assert "\n" not in str(raised.value)


def test_a_rank_without_a_row_of_the_vocabulary() -> None:
    shape_of = shape(n_heads=16, n_kv_heads=16, ffn_dim=64, vocab_size=17)
    with pytest.raises(UsageError, match="16 ranks cannot share 17 rows"):
        ParallelDims(tp=16).check_model(shape_of, 16)
    ParallelDims(tp=8).check_model(shape_of.model_copy(update={"vocab_size": 24}), 16)


def test_what_fits_passes() -> None:
    check(ParallelDims(dp_replicate=2, dp_shard=2, tp=4, pp=2, pp_microbatches=2))
    check(ParallelDims(pp=2, pp_parts=2, pp_microbatches=4), n_layers=4)
    check(ParallelDims(dp_shard=2, ep=2, cp=2), moe={"n_experts": 4, "top_k": 1})
