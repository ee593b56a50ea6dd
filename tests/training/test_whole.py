"""The whole model on the first rank, wherever its parts lie."""

from __future__ import annotations

import pytest
import torch

from model.decoder import Decoder
from tests.builders.gloo import Ranks
from tests.builders.layouts import SEED, configuration, shape
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel
from training.whole import whole_decoder

LAYOUTS: dict[str, dict[str, int]] = {
    "shards 2, tp 2": {"dp_shard": 2, "tp": 2},
    "pp 2, shards 2": {"pp": 2, "dp_shard": 2},
    "pp 2, two stages a rank": {"pp": 2, "dp_replicate": 2, "pp_parts": 2},
}
MODELS = {tied: shape(n_layers=4, tie_embeddings=tied) for tied in (False, True)}


def gathered(parallel: dict[str, int], tied: bool) -> dict[str, torch.Tensor] | None:
    config = configuration(parallel)
    dims = ParallelDims.of(config.parallel, 4)
    built = ParallelModel.build(MODELS[tied], config, dims, torch.device("cpu"))
    decoder = whole_decoder(built, MODELS[tied])
    return None if decoder is None else dict(decoder.state_dict())


@pytest.mark.parametrize("tied", MODELS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_rank_gets_all_weights(ranks: Ranks, layout: str, tied: bool) -> None:
    expected = Decoder(MODELS[tied])
    expected.initialize(SEED)
    first, *others = ranks.run(gathered, LAYOUTS[layout], tied)
    assert others == [None] * 3
    assert first is not None
    assert first.keys() == expected.state_dict().keys()
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(first[name], weight, atol=0, rtol=0)
