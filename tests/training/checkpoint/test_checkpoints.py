from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.decoder import Decoder
from model.presets import preset
from schemas.errors import InputError, OutputError
from training.checkpoint import CheckpointRef, Checkpoints, read_tensors
from training.checkpoint.folder import newest_whole
from training.config import Optimizer
from training.optim import WeightAverage, build_optimizer, model_state, named_parameters

SHAPE = preset("debug", 64)


def state_of(seed: int, shape: ModelConfig = SHAPE) -> dict[str, dict[str, Tensor]]:
    """A model after two steps, with all that belongs to it."""
    model = Decoder(shape)
    model.initialize(seed)
    optimizers = build_optimizer(named_parameters([model]), Optimizer())
    average = WeightAverage([model], 0.9)
    for _ in range(2):
        tokens = torch.arange(32).reshape(2, 16)
        (model(tokens, labels=tokens)[0] / 32).backward()
        optimizers.step()
        average.update()
    parts = {"optimizer": optimizers.state(), "ema": average.state()}
    return {"model": model_state([model]), **parts}


@pytest.fixture(scope="module")
def state() -> dict[str, dict[str, Tensor]]:
    return state_of(1)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def checkpoints(tmp_path: Path, lines: list[str]) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", 2, lines.append)


def assert_same(a: dict[str, dict[str, Tensor]], b: dict[str, dict[str, Tensor]]) -> None:
    assert {p: list(n) for p, n in a.items()} == {p: list(n) for p, n in b.items()}
    for part, named in a.items():
        for name, tensor in named.items():
            assert torch.equal(tensor, b[part][name]), f"{part}.{name}"


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def latest(checkpoints: Checkpoints) -> CheckpointRef:
    ref = checkpoints.latest()
    assert ref is not None
    return ref


@pytest.mark.parametrize("asynchronous", [False, True])
def test_all_of_it_comes_back(
    checkpoints: Checkpoints, state: dict[str, dict[str, Tensor]], asynchronous: bool
) -> None:
    record = {"data": {"samples": 7}, "tokens": 9}
    checkpoints.save(12, state, record, SHAPE, asynchronous)
    checkpoints.wait()
    ref = latest(checkpoints)
    assert ref.step == 12
    assert ref.record() == {"step": 12, **record}
    assert ref.shape() == SHAPE
    other = state_of(2)
    checkpoints.load(ref, other)
    assert_same(other, state)


def test_an_asynchronous_save_is_of_the_moment_it_was_asked_for(checkpoints: Checkpoints) -> None:
    state = {"model": {"weight": torch.arange(100_000.0)}}
    checkpoints.save(1, state, {}, SHAPE, asynchronous=True)
    state["model"]["weight"].zero_()
    checkpoints.wait()
    read = read_tensors(latest(checkpoints))
    assert torch.equal(read["weight"], torch.arange(100_000.0))
    # The second one goes through the same buffers.
    checkpoints.save(2, state, {}, SHAPE, asynchronous=True)
    state["model"]["weight"].fill_(3)
    checkpoints.wait()
    assert not read_tensors(latest(checkpoints))["weight"].any()


def test_a_save_under_way_is_waited_for(
    checkpoints: Checkpoints, state: dict[str, dict[str, Tensor]]
) -> None:
    checkpoints.save(1, state, {}, SHAPE, asynchronous=True)
    assert latest(checkpoints).step == 1


def test_the_newest_are_kept(checkpoints: Checkpoints, state: dict[str, dict[str, Tensor]]) -> None:
    for step in (5, 10, 100, 105):
        checkpoints.save(step, state, {}, SHAPE, asynchronous=step == 100)
    assert names(checkpoints) == ["step-100", "step-105"]


def test_later_ones_of_a_run_that_went_back_are_not_counted(checkpoints: Checkpoints) -> None:
    small = {"model": {"weight": torch.ones(2)}}
    for step in (8, 9, 4):
        checkpoints.save(step, small, {}, SHAPE)
    assert names(checkpoints) == ["step-4", "step-8", "step-9"]


def test_the_same_step_again_replaces_it(checkpoints: Checkpoints) -> None:
    for value in (1, 2):
        checkpoints.save(3, {"model": {"w": torch.full((2,), value)}}, {"value": value}, SHAPE)
    assert names(checkpoints) == ["step-3"]
    assert latest(checkpoints).record()["value"] == 2
    assert read_tensors(latest(checkpoints))["w"].tolist() == [2, 2]


def flip(folder: Path) -> None:
    path = folder / "__0_0.distcp"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def unlist(folder: Path) -> None:
    path = folder / "checksums.json"
    listed = json.loads(path.read_text())
    del listed[".metadata"]
    path.write_text(json.dumps(listed))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (flip, "__0_0.distcp does not have its sha256"),
    "truncated": (lambda f: (f / "__0_0.distcp").open("r+").truncate(9), "has 9 bytes of"),
    "no tensors": (lambda f: (f / "__0_0.distcp").unlink(), "__0_0.distcp is missing"),
    "no index": (lambda f: (f / ".metadata").unlink(), ".metadata is missing"),
    "no record": (lambda f: (f / "record.json").unlink(), "record.json is missing"),
    "no sums": (lambda f: (f / "checksums.json").unlink(), "checksums.json is missing"),
    "empty sums": (lambda f: (f / "checksums.json").write_text(""), "checksums.json cannot be"),
    "other sums": (lambda f: (f / "checksums.json").write_text('{"a": 1}'), "a is missing"),
    "a list": (lambda f: (f / "checksums.json").write_text("[]"), "is no JSON object"),
    "unlisted": (unlist, "does not list .metadata"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_told_and_the_one_before_is_used(
    checkpoints: Checkpoints, lines: list[str], damage: str
) -> None:
    spoil, said = DAMAGE[damage]
    for step in (1, 2):
        checkpoints.save(step, {"model": {"w": torch.full((64,), step)}}, {}, SHAPE)
    spoil(checkpoints.folder / "step-2")
    assert latest(checkpoints).step == 1
    (line,) = lines
    assert "step-2: damaged" in line
    assert said in line
    assert "\n" not in line
    with pytest.raises(InputError, match="damaged"):
        checkpoints.at(2)


def test_none_intact(checkpoints: Checkpoints, lines: list[str]) -> None:
    checkpoints.save(1, {"model": {"w": torch.ones(4)}}, {}, SHAPE)
    flip(checkpoints.folder / "step-1")
    assert checkpoints.latest() is None
    assert "starts from the beginning" in lines[-1]


def test_a_new_run_has_none(checkpoints: Checkpoints, lines: list[str]) -> None:
    assert checkpoints.latest() is None
    assert lines == []
    with pytest.raises(InputError, match="no checkpoint of step 4; there are: none"):
        checkpoints.at(4)


def test_sizes_alone_do_not_see_a_flipped_bit(tmp_path: Path) -> None:
    quick = Checkpoints(tmp_path, verify="sizes")
    quick.save(1, {"model": {"w": torch.ones(4)}}, {}, SHAPE)
    flip(tmp_path / "step-1")
    assert quick.latest() == newest_whole(tmp_path) is not None
    (tmp_path / "step-1" / "__0_0.distcp").open("r+").truncate(3)
    assert quick.latest() is None
    assert newest_whole(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ffn_dim": 96}, r"gate_proj.weight has the shape \[160, 64\] there and \[96, 64\]"),
        ({"n_layers": 3}, r"has no model.layers.2.attention_norm.weight \(and \d+ more\)"),
        ({"n_layers": 1}, r"holds model.layers.1.attention_norm.weight \(and \d+ more\)"),
    ],
)
def test_another_shape(
    checkpoints: Checkpoints,
    state: dict[str, dict[str, Tensor]],
    changes: dict[str, int],
    said: str,
) -> None:
    checkpoints.save(1, state, {}, SHAPE)
    other = state_of(1, preset("debug", 64, **changes))
    with pytest.raises(InputError, match=said):
        checkpoints.load(latest(checkpoints), other)


def test_parts_can_be_left_out_and_missed(
    checkpoints: Checkpoints, state: dict[str, dict[str, Tensor]]
) -> None:
    checkpoints.save(1, {"model": state["model"]}, {}, SHAPE)
    other = state_of(3)
    checkpoints.load(latest(checkpoints), {"model": other["model"]})
    assert_same({"model": other["model"]}, {"model": state["model"]})
    with pytest.raises(InputError, match=r"has no optimizer\."):
        checkpoints.load(latest(checkpoints), other)
    with pytest.raises(InputError, match="saved without ema"):
        read_tensors(latest(checkpoints), "ema")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_disk_that_takes_no_more(
    checkpoints: Checkpoints,
    lines: list[str],
    state: dict[str, dict[str, Tensor]],
    asynchronous: bool,
) -> None:
    """A limit on the size of files stands for the full disk: both fail in `write`."""
    checkpoints.save(1, state, {}, SHAPE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError) as failure:
            checkpoints.save(2, state, {}, SHAPE, asynchronous)
            checkpoints.wait()
        if asynchronous:
            checkpoints.save(3, state, {}, SHAPE, asynchronous)
            with pytest.raises(OutputError, match="step 4"):
                checkpoints.save(4, state, {}, SHAPE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "checkpoint of step 2 cannot be written" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert [line for line in lines if "step 3" in line] == lines
    assert len(lines) == asynchronous
    assert names(checkpoints) == ["step-1"]
    assert latest(checkpoints).step == 1
    checkpoints.save(5, state, {}, SHAPE, asynchronous)
    checkpoints.wait()
    assert latest(checkpoints).step == 5


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Checkpoints(tmp_path / "file").save(1, {"model": {"w": torch.ones(1)}}, {}, SHAPE)
