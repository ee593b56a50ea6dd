"""Micro-batches cost no communication between replicas but in the last one."""

from __future__ import annotations

from collections import Counter

import torch
from torch.distributed.tensor.debug import CommDebugMode

from tests.builders.gloo import Ranks
from tests.builders.layouts import batch, configuration, parts, shape
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel


def collectives(parallel: dict[str, int], micro_batches: int) -> Counter[str]:
    """How often each ran in one step."""
    model, config = shape(), configuration(parallel)
    dims = ParallelDims.of(config.parallel, 4)
    built = ParallelModel.build(model, config, dims, torch.device("cpu"))
    own = next(parts(batch(0, model.vocab_size), dims.data_ranks))
    with CommDebugMode() as seen:
        built.forward_backward(list(parts(own, micro_batches)), 10.0, 0.0)
    return Counter({str(op).rpartition(".")[2]: n for op, n in seen.get_comm_counts().items()})


def test_replicas_meet_once_a_step(ranks: Ranks) -> None:
    for parallel in ({"dp_replicate": 4}, {"dp_replicate": 2, "dp_shard": 2}):
        once = ranks.run(collectives, parallel, 1)[0]["allreduce_"]
        assert once > 0
        assert ranks.run(collectives, parallel, 2)[0]["allreduce_"] == once


def test_shards_are_scattered_each_time_so_that_no_rank_holds_whole_gradients(
    ranks: Ranks,
) -> None:
    parallel = {"dp_replicate": 2, "dp_shard": 2}
    once, twice = (ranks.run(collectives, parallel, count)[0] for count in (1, 2))
    name = "_reduce_scatter_base_"
    assert 0 < 2 * once[name] == twice[name]
