"""What lies on a rank, and evaluation there."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from model.decoder import Decoder
from tests.builders.gloo import Ranks
from tests.builders.layouts import SEED, batch, configuration, shape
from training.parallel.batch import Batch
from training.parallel.dims import ParallelDims
from training.parallel.gradients import local
from training.parallel.model import ParallelModel

MODEL = shape(qk_norm=True, qkv_bias=True)


class Held(NamedTuple):
    names: list[str]
    numbers: int
    whole: dict[str, torch.Tensor]
    sums: torch.Tensor
    """Of a batch, over all ranks."""
    data_rank: int


def held(parallel: dict[str, int]) -> Held:
    config = configuration(parallel, activation_checkpointing="full")
    dims = ParallelDims.of(config.parallel, 4)
    built = ParallelModel.build(MODEL, config, dims, torch.device("cpu"))
    named = built.named_parameters()
    samples = Batch(*batch(0, MODEL.vocab_size)[:3], documents=None)
    own = Batch(*(x if x is None else x.chunk(dims.data_ranks)[built.data_rank] for x in samples))
    return Held(
        [name for name, _ in named],
        sum(local(parameter).numel() for _, parameter in named),
        {name: built.full_parameter(name) for name, _ in named},
        built.reduce_sums(built.evaluate(own)),
        built.data_rank,
    )


@pytest.mark.parametrize(
    ("parallel", "share", "data_ranks"),
    [
        ({"dp_replicate": 4}, 1.0, [0, 1, 2, 3]),
        ({"dp_shard": 4}, 0.25, [0, 1, 2, 3]),
        ({"dp_replicate": 2, "dp_shard": 2}, 0.5, [0, 1, 2, 3]),
        ({"tp": 4}, 0.25, [0, 0, 0, 0]),
        ({"dp_shard": 2, "tp": 2}, 0.25, [0, 0, 1, 1]),
    ],
)
def test_what_a_rank_holds(
    ranks: Ranks, parallel: dict[str, int], share: float, data_ranks: list[int]
) -> None:
    decoder = Decoder(MODEL)
    decoder.initialize(SEED)
    weights = dict(decoder.named_parameters())
    tokens, labels, positions, _ = batch(0, MODEL.vocab_size)
    with torch.no_grad():
        sums = decoder(tokens, positions, None, labels)
    found = ranks.run(held, parallel)
    assert [rank.data_rank for rank in found] == data_ranks
    for rank in found:
        assert rank.names == list(weights)
        assert all(torch.equal(rank.whole[name], weight) for name, weight in weights.items())
        torch.testing.assert_close(rank.sums, sums)
    # Norms are whole on the ranks of tp, and a vocabulary of 37 is cut unevenly.
    total = sum(weight.numel() for weight in weights.values())
    assert max(rank.numbers for rank in found) == pytest.approx(share * total, rel=0.05)
