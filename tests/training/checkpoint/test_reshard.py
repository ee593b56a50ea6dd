"""Checkpoints that other numbers and layouts of ranks read than those that wrote them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from model.pretrained import open_weights
from schemas.errors import InputError, OutputError
from tests.builders.gloo import Ranks
from tests.builders.layouts import Z_LOSS, batch, configuration, parts, shape
from training.checkpoint import Checkpoints, read_tensors
from training.config import Optimizer
from training.optim import (
    Optimizers,
    WeightAverage,
    build_optimizer,
    model_state,
    named_parameters,
)
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel

State = dict[str, dict[str, Tensor]]


class Trained:
    """A model on the ranks that are running."""

    def __init__(self, parallel: dict[str, int], name: str, **changes: Any) -> None:
        self.shape = shape(**changes)
        config = configuration(parallel)
        world = distributed.get_world_size() if distributed.is_initialized() else 1
        self.dims = ParallelDims.of(config.parallel, world)
        self.model = ParallelModel.build(self.shape, config, self.dims, torch.device("cpu"))
        self.optimizer: Optimizers = build_optimizer(
            named_parameters(self.model.parts), Optimizer(name=name, lr=1e-2)
        )
        self.average = WeightAverage(self.model.parts, 0.9)

    def step(self, number: int) -> None:
        whole = batch(number, self.shape.vocab_size)
        own = list(parts(whole, self.dims.data_ranks))[self.model.data_rank]
        self.model.forward_backward([own], (whole.labels != -100).sum(), Z_LOSS)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update()

    def state(self) -> State:
        return {
            "model": model_state(self.model.parts),
            "optimizer": self.optimizer.state(),
            "ema": self.average.state(),
        }

    def digests(self) -> dict[str, str]:
        """Of every tensor, whole, bit for bit."""
        found = {}
        for part, named in self.state().items():
            for name, tensor in named.items():
                whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
                content = whole.contiguous().numpy().tobytes()
                found[f"{part}.{name}"] = hashlib.sha256(content).hexdigest()
        return found


def save(
    folder: Path, parallel: dict[str, int], name: str, asynchronous: bool, **changes: Any
) -> dict[str, str]:
    trained = Trained(parallel, name, **changes)
    for number in range(2):
        trained.step(number)
    digests = trained.digests()
    checkpoints = Checkpoints(folder)
    checkpoints.save(2, trained.state(), {"samples": 16}, trained.shape, asynchronous)
    if asynchronous:
        # The next steps meet the save: it is a state of its own that is written.
        for number in range(2, 4):
            trained.step(number)
    checkpoints.wait()
    return digests


def load(folder: Path, parallel: dict[str, int], name: str, **changes: Any) -> dict[str, str]:
    trained = Trained(parallel, name, **changes)
    checkpoints = Checkpoints(folder)
    ref = checkpoints.latest()
    assert ref is not None
    assert ref.record() == {"step": 2, "samples": 16}
    checkpoints.load(ref, trained.state())
    return trained.digests()


def resumed(folder: Path | None, parallel: dict[str, int]) -> dict[str, str]:
    """Four steps, with or without a checkpoint after two."""
    trained = Trained(parallel, "adamw")
    if folder is None:
        for number in range(2):
            trained.step(number)
    else:
        checkpoints = Checkpoints(folder)
        ref = checkpoints.latest()
        assert ref is not None
        checkpoints.load(ref, trained.state())
    for number in range(2, 4):
        trained.step(number)
    return trained.digests()


LAYOUTS: dict[str, tuple[int, dict[str, int]]] = {
    "fsdp 4": (4, {"dp_shard": 4}),
    "hsdp": (4, {"dp_replicate": 2, "dp_shard": 2}),
    "fsdp and tp": (4, {"dp_shard": 2, "tp": 2}),
    "tp": (4, {"tp": 4}),
    "fsdp 2": (2, {"dp_shard": 2}),
    "ddp 2": (2, {"dp_replicate": 2}),
    "one": (1, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "asynchronous"), [("adamw", True), ("muon", False)])
def test_four_ranks_write_and_any_read(
    ranks: Ranks, tmp_path: Path, name: str, asynchronous: bool
) -> None:
    (expected, *others) = ranks.run(save, tmp_path, {"dp_shard": 4}, name, asynchronous)
    assert others == [expected] * 3
    for world, parallel in LAYOUTS.values():
        for found in ranks.run(load, tmp_path, parallel, name, world=world):
            assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["hsdp", "fsdp and tp", "tp", "ddp 2", "one"])
def test_any_write_and_four_read(ranks: Ranks, tmp_path: Path, layout: str) -> None:
    world, parallel = LAYOUTS[layout]
    expected = ranks.run(save, tmp_path, parallel, "adamw", False, world=world)[0]
    for found in ranks.run(load, tmp_path, {"dp_shard": 4}, "adamw"):
        assert found == expected


@pytest.mark.slow
def test_resuming_changes_no_bit(ranks: Ranks, tmp_path: Path) -> None:
    ranks.run(save, tmp_path, {"dp_shard": 4}, "adamw", True)
    straight = ranks.run(resumed, None, {"dp_shard": 4})
    assert ranks.run(resumed, tmp_path, {"dp_shard": 4}) == straight


def misfit(folder: Path) -> str:
    checkpoints = Checkpoints(folder)
    ref = checkpoints.latest()
    assert ref is not None
    rank = distributed.get_rank()
    size = 4 if rank == 1 else 3
    try:
        checkpoints.load(ref, {"model": {"w": torch.zeros(size)}})
    except InputError as error:
        return str(error)
    return ""


def full_disk(folder: Path) -> str:
    checkpoints = Checkpoints(folder)
    state = {"model": {f"w{distributed.get_rank()}": torch.ones(3)}}
    checkpoints.save(1, state, {}, shape())
    if distributed.get_rank() == 2:
        state["model"]["w2"] = torch.empty(3, device="meta")
    try:
        checkpoints.save(2, state, {}, shape(), asynchronous=False)
    except OutputError as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_what_one_rank_cannot_do_ends_all_of_them_alike(ranks: Ranks, tmp_path: Path) -> None:
    alone = Checkpoints(tmp_path / "a")
    alone.save(1, {"model": {"w": torch.ones(3)}}, {}, shape())
    said = set(ranks.run(misfit, tmp_path / "a"))
    assert len(said) == 1
    assert "w has the shape [3] there and [4] in this model" in said.pop()
    said = set(ranks.run(full_disk, tmp_path / "b"))
    assert len(said) == 1
    assert "rank 2" in said.pop()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["step-1"]
    assert read_tensors(Checkpoints(tmp_path / "b").at(1)).keys() == {"w0", "w1", "w2", "w3"}


STAGES: dict[str, tuple[int, dict[str, int]]] = {
    "one": (1, {}),
    "pp 2": (2, {"pp": 2}),
    "pp 2, shards 2": (4, {"pp": 2, "dp_shard": 2}),
    "two stages a rank": (2, {"pp": 2, "pp_parts": 2}),
}
SPREAD: dict[str, tuple[int, dict[str, int]]] = {
    "one": (1, {}),
    "ep 2": (2, {"dp_shard": 2, "ep": 2}),
    "ep 2 of 4 shards": (4, {"dp_shard": 4, "ep": 2}),
    "ep 2, tp 2": (4, {"dp_shard": 2, "tp": 2, "ep": 2}),
}
EXPERTS = {"moe": {"n_experts": 4, "top_k": 2, "balance": "bias"}}


@pytest.mark.slow
@pytest.mark.parametrize("wrote", STAGES)
def test_a_tied_head_is_stored_once_whatever_stage_holds_it(
    ranks: Ranks, tmp_path: Path, wrote: str
) -> None:
    world, parallel = STAGES[wrote]
    tied = {"tie_embeddings": True, "n_layers": 4}
    written = ranks.run(save, tmp_path, parallel, "adamw", False, world=world, **tied)
    expected = {name: digest for found in written for name, digest in found.items()}
    assert "model.embedding.weight" in expected
    assert "model.head.weight" not in expected
    for world, parallel in STAGES.values():
        for found in ranks.run(load, tmp_path, parallel, "adamw", world=world, **tied):
            assert found.items() <= expected.items()
    weights = open_weights(tmp_path / "step-2")
    digest = hashlib.sha256(weights.tensor("head.weight").numpy().tobytes()).hexdigest()
    assert digest == expected["model.embedding.weight"]


@pytest.mark.slow
@pytest.mark.parametrize("wrote", SPREAD)
def test_experts_are_read_into_any_layout(ranks: Ranks, tmp_path: Path, wrote: str) -> None:
    world, parallel = SPREAD[wrote]
    expected = ranks.run(save, tmp_path, parallel, "muon", False, world=world, **EXPERTS)[0]
    for world, parallel in SPREAD.values():
        for found in ranks.run(load, tmp_path, parallel, "muon", world=world, **EXPERTS):
            assert found == expected
