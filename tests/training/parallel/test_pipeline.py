"""Stages: how layers are dealt out, and that a step through them is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.decoder import Decoder
from model.presets import preset
from schemas.errors import UsageError
from tests.builders.gloo import Ranks
from tests.builders.layouts import (
    SAMPLES,
    SEED,
    batch,
    check,
    configuration,
    expected,
    on_ranks,
    shape,
)
from training.parallel.batch import Batch
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel
from training.parallel.pipeline import layer_work, split_layers, stage_parts


@given(layers=st.integers(1, 40), stages=st.integers(1, 8), vocabulary=st.sampled_from([64, 4096]))
def test_no_other_split_has_a_faster_slowest_stage(
    layers: int, stages: int, vocabulary: int
) -> None:
    if stages > layers:
        return
    model = shape(n_layers=layers, vocab_size=vocabulary)
    split = split_layers(model, stages)
    assert [layer for part in split for layer in part] == list(range(layers))
    assert all(split)
    layer = layer_work(model)
    extra = [0.0] * stages
    extra[0] += layer
    extra[-1] += model.vocab_size * model.dim
    slowest = max(len(part) * layer + more for part, more in zip(split, extra, strict=True))
    # With less time a stage, not all layers find a place.
    places = sum(max(1, int((slowest - 1 - more) // layer)) for more in extra)
    assert places < layers or slowest == max(layer + more for more in extra)


def test_a_large_head_takes_layers_from_the_last_stage() -> None:
    counts = [len(part) for part in split_layers(preset("llama3-8b", 128_256), 4)]
    assert counts == [8, 9, 9, 6]


def test_parts_of_all_ranks_are_the_decoder() -> None:
    model = shape(n_layers=5)
    names = [name for r in range(2) for p in stage_parts(model, r, 2, 2) for name in p.state_dict()]
    assert sorted(names) == sorted(Decoder(model).state_dict())


MOE = {"moe": {"n_experts": 4, "top_k": 2, "ffn_dim": 16, "aux_coef": 0.3}}
TIED = {"tie_embeddings": True}
LAYOUTS: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "pp 2": ({"pp": 2}, {}),
    "pp 2, tied": ({"pp": 2}, TIED),
    "pp 4": ({"pp": 4}, {}),
    "pp 4, tied": ({"pp": 4}, TIED),
    "pp 2, replicas 2": ({"pp": 2, "dp_replicate": 2}, TIED),
    "pp 2, shards 2": ({"pp": 2, "dp_shard": 2}, TIED),
    "pp 2, tp 2": ({"pp": 2, "tp": 2}, TIED),
    "pp 2, tp 2, experts": ({"pp": 2, "tp": 2}, MOE),
    "pp 2, cp 2": ({"pp": 2, "cp": 2}, MOE),
    "pp 2, ep 2": ({"pp": 2, "dp_shard": 2, "ep": 2}, MOE),
}


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_equals_one_process(ranks: Ranks, layout: str, accumulation: int) -> None:
    parallel, changes = LAYOUTS[layout]
    count = {"pp_microbatches": max(2, parallel["pp"])}
    check(ranks, shape(n_layers=4, **changes), parallel | count, accumulation=accumulation)


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_blocks_of_a_stage_are_computed_anew(ranks: Ranks, mode: str) -> None:
    layout = {"pp": 2, "dp_shard": 2, "pp_microbatches": 2}
    check(ranks, shape(), layout, accumulation=2, activation_checkpointing=mode)


def test_stages_exchange_bfloat16(ranks: Ranks) -> None:
    layout = {"pp": 2, "dp_shard": 2, "pp_microbatches": 2}
    for course in ranks.run(on_ranks, shape(), layout, dtype="bfloat16"):
        assert course.losses == pytest.approx(expected(shape()).losses, abs=2e-2)


def evaluated(sequences: int, each: int) -> list[float]:
    model = shape(n_layers=5)
    config = configuration({"pp": 2, "pp_parts": each})
    dims = ParallelDims.of(config.parallel, 2)
    built = ParallelModel.build(model, config, dims, torch.device("cpu"))
    some = Batch(*(x[:sequences] for x in batch(0, model.vocab_size)))
    sums = built.evaluate(some).tolist()
    assert all(parameter.grad is None for _, parameter in built.named_parameters())
    return sums


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("sequences", [1, 3, 8])
def test_evaluation_takes_any_number_of_sequences(ranks: Ranks, sequences: int, each: int) -> None:
    model = shape(n_layers=5)
    decoder = Decoder(model)
    decoder.initialize(SEED)
    tokens, labels, positions, documents = (x[:sequences] for x in batch(0, model.vocab_size))
    sums = decoder(tokens, positions, documents, labels).tolist()
    for found in ranks.run(evaluated, sequences, each, world=2):
        assert found == pytest.approx(sums, rel=1e-6)


INTERLEAVED: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "pp 2, tied": ({"pp": 2}, TIED),
    "pp 2, replicas 2": ({"pp": 2, "dp_replicate": 2}, {}),
    "pp 2, shards 2": ({"pp": 2, "dp_shard": 2}, TIED),
    "pp 2, tp 2": ({"pp": 2, "tp": 2}, MOE),
    "pp 2, cp 2": ({"pp": 2, "cp": 2}, MOE),
    "pp 2, ep 2": ({"pp": 2, "dp_shard": 2, "ep": 2}, MOE),
}


@pytest.mark.parametrize("layout", INTERLEAVED)
def test_several_stages_a_rank(ranks: Ranks, layout: str) -> None:
    parallel, changes = INTERLEAVED[layout]
    interleaved = {"pp_parts": 2, "pp_microbatches": 2}
    check(ranks, shape(n_layers=5, **changes), parallel | interleaved, accumulation=2)


def test_several_stages_a_rank_take_micro_batches_in_rounds(ranks: Ranks) -> None:
    check(ranks, shape(n_layers=6), {"pp": 2, "pp_parts": 3, "pp_microbatches": 4})


def test_micro_batches_fit_the_stages_and_the_sequences() -> None:
    dims = ParallelDims(pp=2, pp_microbatches=1)
    with pytest.raises(UsageError, match="pp_microbatches: 1 for 2 stages"):
        dims.check_model(shape(), 16)
    dims = ParallelDims(pp=2, pp_microbatches=3)
    with pytest.raises(UsageError, match="batch_size: 8 is no multiple of .*pp_microbatches 3"):
        dims.check_batch(SAMPLES, 1)
