"""A few optimizer steps of a tiny model: by a layout over ranks, and by a plain decoder alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from model.config import ModelConfig
from model.decoder import Decoder
from tests.builders.gloo import Ranks
from training.config import PretrainConfig
from training.parallel.batch import Batch
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel

SAMPLES = 8
LENGTH = 16
STEPS = 4
CLIP = 0.5
Z_LOSS = 1e-2
SEED = 7
ADAMW = {"lr": 1e-2, "eps": 1e-4}
"""With AdamW's usual 1e-8, gradients near zero turn rounding into whole steps."""


class Course(NamedTuple):
    """What the steps left behind."""

    losses: list[float]
    norms: list[float]
    gradients: dict[str, Tensor]
    """Of the first step, before clipping, whole."""
    weights: dict[str, Tensor]
    """After the last step, whole."""


def shape(**changes: Any) -> ModelConfig:
    """A decoder whose vocabulary no number of ranks divides."""
    keys = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 4, "ffn_dim": 48}
    return ModelConfig.model_validate({"vocab_size": 37, "max_seq_len": LENGTH, **keys, **changes})


def configuration(parallel: dict[str, int], **train: Any) -> PretrainConfig:
    dtype = train.pop("dtype", "float32")
    return PretrainConfig.model_validate(
        {
            "output": "unused",
            "seed": SEED,
            "dtype": dtype,
            "data": {"manifest": "unused", "sequence_length": LENGTH},
            "train": {"steps": STEPS, "batch_size": SAMPLES, "z_loss": Z_LOSS, **train},
            "parallel": parallel,
        }
    )


def batch(step: int, vocab_size: int) -> Batch:
    """Samples of a step: documents, padding, and more targets in some samples than in others."""
    random = torch.Generator().manual_seed(step)
    tokens = torch.randint(vocab_size, (SAMPLES, LENGTH), generator=random)
    labels = torch.randint(vocab_size, (SAMPLES, LENGTH), generator=random)
    for sample in range(SAMPLES):
        labels[sample, LENGTH - 2 * sample :] = -100
    starts = torch.rand(SAMPLES, LENGTH, generator=random) < 0.15
    starts[:, 0] = True
    for sample in range(1, SAMPLES):
        starts[sample, LENGTH - sample :] = False
        starts[sample, LENGTH - sample] = True
    documents = starts.long().cumsum(dim=1)
    for sample in range(1, SAMPLES):
        documents[sample, LENGTH - sample :] = -1
    places = torch.arange(LENGTH).expand(SAMPLES, -1)
    positions = places - torch.where(starts, places, 0).cummax(dim=1).values
    return Batch(tokens, labels, positions, documents)


def parts(whole: Batch, count: int) -> Iterator[Batch]:
    """Consecutive samples."""
    yield from (Batch(*columns) for columns in zip(*(c.chunk(count) for c in whole), strict=True))


def alone(model: ModelConfig) -> Course:
    """The steps by a decoder, torch's own clipping and no code of `training.parallel`."""
    decoder = Decoder(model)
    decoder.initialize(SEED)
    optimizer = torch.optim.AdamW(decoder.parameters(), **ADAMW)
    losses, norms, gradients = [], [], {}
    for step in range(STEPS):
        tokens, labels, positions, documents = batch(step, model.vocab_size)
        targets = (labels != -100).sum()
        for layer in decoder.moe_layers():
            layer.loss_scale.copy_(1 / (documents >= 0).sum())
        sums = decoder(tokens, positions, documents, labels)
        ((sums[0] + Z_LOSS * sums[1]) / targets).backward()
        losses.append(float(sums[0].detach() / targets))
        if not step:
            named = decoder.named_parameters(remove_duplicate=False)
            gradients = {n: p.grad.clone() for n, p in named}
        norms.append(float(torch.nn.utils.clip_grad_norm_(decoder.parameters(), CLIP)))
        optimizer.step()
        optimizer.zero_grad()
        for layer in decoder.moe_layers():
            layer.update_bias(layer.load)
            layer.load.zero_()
    return Course(losses, norms, gradients, dict(decoder.state_dict()))


def on_ranks(model: ModelConfig, parallel: dict[str, int], **train: Any) -> Course:
    """The steps on the ranks that are running: the course of a rank's part of the model."""
    torch.manual_seed(distributed.get_rank() if distributed.is_initialized() else 0)
    config = configuration(parallel, **train)
    world = distributed.get_world_size() if distributed.is_initialized() else 1
    dims = ParallelDims.of(config.parallel, world)
    dims.check(config, model, LENGTH)
    built = ParallelModel.build(model, config, dims, torch.device("cpu"))
    optimizer = torch.optim.AdamW([p for _, p in built.named_parameters()], **ADAMW)
    losses, norms, gradients = [], [], {}
    for step in range(STEPS):
        whole = batch(step, model.vocab_size)
        own = list(parts(whole, dims.data_ranks))[built.data_rank]
        targets = (whole.labels != -100).sum()
        micro = list(parts(own, config.train.accumulation))
        local = built.forward_backward(micro, targets, Z_LOSS, whole.real_tokens)
        sums = built.reduce_sums(local)
        losses.append(float(sums[0] / targets))
        if not step:
            gradients = {n: whole_of(p.grad) for n, p in built.named_parameters()}
        norms.append(built.clip_grad_norm(CLIP))
        optimizer.step()
        optimizer.zero_grad()
        for layer in built.moe_layers():
            layer.update_bias(built.reduce_sums(layer.load))
            layer.load.zero_()
    weights = {name: built.full_parameter(name).clone() for name, _ in built.named_parameters()}
    for part in built.parts:
        weights |= {name: b.clone() for name, b in part.named_buffers() if "choice" in name}
    return Course(losses, norms, gradients, weights)


def merged(courses: list[Course]) -> Course:
    """The course of the whole model: all ranks say the same of what they share."""
    gradients: dict[str, Tensor] = {}
    weights: dict[str, Tensor] = {}
    for course in courses:
        assert course.losses == courses[0].losses
        assert course.norms == courses[0].norms
        for whole, own in ((gradients, course.gradients), (weights, course.weights)):
            for name, tensor in own.items():
                torch.testing.assert_close(whole.setdefault(name, tensor), tensor, atol=0, rtol=0)
    return Course(courses[0].losses, courses[0].norms, gradients, weights)


@cache
def expected(model: ModelConfig) -> Course:
    return alone(model)


def check(ranks: Ranks, model: ModelConfig, parallel: dict[str, int], **train: Any) -> None:
    """A layout equals one process: losses, norms, gradients and, after some steps, weights."""
    axes = ("dp_replicate", "dp_shard", "tp", "pp", "cp")
    world = math.prod(parallel.get(axis, 1) for axis in axes)
    assert_same(merged(ranks.run(on_ranks, model, parallel, world=world, **train)), expected(model))


def whole_of(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return (gradient.full_tensor() if isinstance(gradient, DTensor) else gradient).clone()


def assert_same(found: Course | None, expected: Course, atol: float = 1e-5) -> None:
    assert found is not None
    assert found.losses == _near(expected.losses, atol)
    assert found.norms == _near(expected.norms, atol)
    for ours, theirs in ((found.gradients, expected.gradients), (found.weights, expected.weights)):
        names = ours.keys()
        assert names <= theirs.keys()
        for name in names:
            torch.testing.assert_close(
                ours[name], theirs[name], atol=atol, rtol=0, msg=lambda text, n=name: f"{n}: {text}"
            )


def _near(values: list[float], atol: float) -> Any:
    return pytest.approx(values, abs=atol, rel=0)
