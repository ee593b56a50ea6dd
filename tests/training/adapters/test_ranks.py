"""Adapters on two ranks are trained as on one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, distributed

from model.config import ModelConfig
from model.decoder import Decoder
from model.weights import stored_name
from schemas.errors import UsageError
from tests.builders.gloo import Ranks
from tests.builders.layouts import ADAMW, LENGTH, SAMPLES, SEED, batch, parts, shape
from training.adapters.adaptation import Adaptation
from training.config import TrainingConfig
from training.optim import named_parameters
from training.parallel.batch import Batch
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel
from training.tokenizers import load_tokenizer
from training.whole import whole_decoder

STEPS = 3
BUDGET = {"target_rank": 2, "start": 0, "end": 3, "every": 1}
LORA: dict[str, Any] = {"lora": {"rank": 4, "targets": ["q_proj", "ffn.*"]}}
DORA: dict[str, Any] = {"lora": {"rank": 3, "dora": True}}


class Held:
    """Weights in memory."""

    def __init__(self, config: ModelConfig) -> None:
        self.folder = Path("held")
        self.config = config
        decoder = Decoder(config)
        decoder.initialize(SEED)
        self._state = decoder.state_dict()

    def tensor(self, name: str) -> Tensor:
        return self._state[stored_name(name, self.config)]


class Course(NamedTuple):
    losses: list[float]
    trained: dict[str, Tensor]
    logits: Tensor | None
    """Of the whole decoder, on the first rank."""


def course(way: dict[str, Any], parallel: dict[str, int], **changes: Any) -> Course:
    """Some steps on the ranks that are running."""
    model = shape(**changes)
    config = TrainingConfig.model_validate(
        {
            "output": "unused",
            "init": "held",
            "seed": SEED,
            "train": {"steps": STEPS, "batch_size": SAMPLES},
            "parallel": parallel,
            **way,
        }
    )
    world = distributed.get_world_size() if distributed.is_initialized() else 1
    dims = ParallelDims.of(config.parallel, world)
    adaptation = Adaptation.of(config, dims, model, Held(model))
    assert adaptation is not None
    built = ParallelModel.build(model, config, dims, torch.device("cpu"))
    adaptation.begin(built, load_tokenizer("byte"), SEED)
    optimizer = torch.optim.AdamW([p for _, p in named_parameters(built.parts)], **ADAMW)
    losses = []
    for step in range(STEPS):
        whole = _one_document(batch(step, model.vocab_size))
        targets = int((whole.labels != -100).sum())
        mine = list(parts(whole, dims.data_ranks))[built.data_rank]
        sums = built.forward_backward(list(parts(mine, 2)), float(targets), 0.0)
        losses.append(float(built.reduce_sums(sums)[0] / targets))
        for hook in adaptation.hooks:
            hook.after_backward(step + 1)
        built.clip_grad_norm(0.5)
        optimizer.step()
        optimizer.zero_grad()
        for hook in adaptation.hooks:
            hook.after_step(step + 1)
    trained = {n: built.full_parameter(n) for n, _ in named_parameters(built.parts)}
    decoder, logits = whole_decoder(built, model), None
    if decoder is not None:
        with torch.no_grad():
            logits = decoder(batch(9, model.vocab_size).tokens)
    return Course(losses, trained, logits)


def _one_document(found: Batch) -> Batch:
    """A document a row: what virtual tokens ask for."""
    positions = torch.arange(LENGTH).expand(SAMPLES, -1)
    return Batch(found.tokens, found.labels, positions, torch.zeros_like(found.tokens))


def same(found: Course, expected: Course) -> None:
    assert found.losses == pytest.approx(expected.losses, abs=1e-5)
    assert found.trained.keys() == expected.trained.keys()
    for name, tensor in expected.trained.items():
        torch.testing.assert_close(found.trained[name], tensor, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("way", "parallel"),
    [
        (LORA, {"dp_replicate": 2}),
        (LORA, {"dp_shard": 2}),
        (LORA, {"cp": 2}),
        (DORA, {"dp_shard": 2}),
        ({"lora": {"rank": 3, "quantize": "nf4"}}, {"dp_replicate": 2}),
        ({"lora": {"rank": 4, "budget": BUDGET}}, {"dp_replicate": 2}),
        ({"prompt_tuning": {"tokens": 3}}, {"dp_replicate": 2}),
        ({"prompt_tuning": {"tokens": 3, "kind": "prefix"}}, {"dp_replicate": 2}),
    ],
    ids=[
        *("lora, replicas", "lora, shards", "lora, cp", "dora, shards"),
        *("nf4, replicas", "budget, replicas", "prompt, replicas", "prefix, replicas"),
    ],
)
def test_two_ranks_are_one(ranks: Ranks, way: dict[str, Any], parallel: dict[str, int]) -> None:
    changes = {"qkv_bias": True, "vocab_size": 300}
    first, *_ = ranks.run(course, way, parallel, world=2, **changes)
    same(first, course(way, {}, **changes))


def test_sharded_with_everything_else(ranks: Ranks) -> None:
    """Tied embeddings, recomputed activations, replicas of shards."""
    way = {**LORA, "train": {"steps": 3, "batch_size": 8, "activation_checkpointing": "full"}}
    changes = {"tie_embeddings": True, "vocab_size": 300}
    first, *_ = ranks.run(course, way, {"dp_replicate": 2, "dp_shard": 2}, **changes)
    same(first, course(LORA, {}, **changes))


def test_experts_stay_frozen() -> None:
    moe = {"moe": {"n_experts": 4, "top_k": 2, "n_shared": 1, "balance": "bias"}}
    found = course({"lora": {"rank": 2}}, {}, vocab_size=300, **moe)
    layers = {name.split(".", 2)[2].rpartition(".")[0] for name in found.trained}
    attention = {f"attention.{kind}_proj" for kind in "qkvo"}
    assert layers == attention | {f"ffn.shared.{kind}_proj" for kind in ("gate", "up", "down")}


@pytest.mark.parametrize(
    ("way", "dims", "message"),
    [
        (LORA, ParallelDims(tp=2), "parallel.tp: 2: adapters are trained with dp_replicate"),
        (LORA, ParallelDims(pp=2), "parallel.pp: 2"),
        (LORA, ParallelDims(dp_shard=2, ep=2), "parallel.ep: 2"),
        ({"lora": {"quantize": "nf4"}}, ParallelDims(dp_shard=2), "lora.quantize: every rank"),
        ({"lora": {"budget": BUDGET}}, ParallelDims(dp_shard=2), "lora.budget: every rank"),
        ({"prompt_tuning": {}}, ParallelDims(cp=2), "prompt_tuning: every rank has to hold"),
    ],
    ids=["tp", "pp", "ep", "nf4", "budget", "prompt"],
)
def test_other_layouts_are_refused(way: dict[str, Any], dims: ParallelDims, message: str) -> None:
    model = shape()
    keys = {"output": "unused", "init": "held", "train": {"steps": 1, "batch_size": 8}, **way}
    config = TrainingConfig.model_validate(keys)
    with pytest.raises(UsageError, match=message) as error:
        Adaptation.of(config, dims, model, Held(model))
    assert "\n" not in str(error.value)
