"""A plan: a shape on devices, with memory, time and expected loss."""

from __future__ import annotations

from typing import Any, NamedTuple

from model.config import ModelConfig
from schemas.errors import UsageError
from schemas.shards import ShardManifestV1
from training.config import PretrainConfig
from training.metrics.devices import ACCELERATORS, Accelerator, accelerator
from training.metrics.flops import flops_per_token, matmul_parameters
from training.parallel.dims import ParallelDims
from training.sizing.budget import days_of
from training.sizing.memory import Checkpointing, Memory, Step, memory
from training.sizing.parameters import count

MODES: tuple[Checkpointing, ...] = ("none", "selective", "full")

USABLE = 0.9
"""Share of a device's memory to plan with: see `training.sizing.memory`."""


class Devices(NamedTuple):
    """What a run is to be computed on."""

    kind: Accelerator
    number: int
    mfu: float

    def peak(self, element: int) -> float:
        """FLOP/s of one device for numbers of so many bytes."""
        return self.kind.bfloat16 if element == 2 else self.kind.float32


class RunPlan(NamedTuple):
    """What one shape takes."""

    config: ModelConfig
    parameters: int
    active_parameters: int
    flops_per_token: float
    tokens: float
    flops: float
    days: float
    layout: dict[str, int]
    memory: dict[str, Memory]
    """By mode of activation checkpointing."""
    fits: dict[str, bool]


def find_accelerator(name: str) -> Accelerator:
    """By name. Raises UsageError that lists those that are known."""
    found = accelerator(name)
    if found is None:
        known = ", ".join(device.name for device in ACCELERATORS)
        raise UsageError(f"--gpu {name!r} is not known; known: {known}")
    return found


def plan_run(
    config: ModelConfig, tokens: float, dims: ParallelDims, step: Step, devices: Devices
) -> RunPlan:
    """Memory under every mode of checkpointing, and the time. Raises UsageError where the model
    cannot be laid out like this."""
    dims.check_model(config, step.sequence_length)
    flops = tokens * flops_per_token(config, step.sequence_length)
    needed: dict[str, Memory] = {
        mode: memory(config, dims, step._replace(checkpointing=mode)) for mode in MODES
    }
    axes = ("dp_replicate", "dp_shard", "tp", "pp", "pp_parts", "cp", "ep")
    return RunPlan(
        config=config,
        parameters=count(config).total,
        active_parameters=matmul_parameters(config),
        flops_per_token=flops_per_token(config, step.sequence_length),
        tokens=tokens,
        flops=flops,
        days=days_of(flops, devices.number, devices.peak(step.element), devices.mfu),
        layout={axis: getattr(dims, axis) for axis in axes},
        memory=needed,
        fits={mode: one.total <= USABLE * devices.kind.memory for mode, one in needed.items()},
    )


def step_of(config: PretrainConfig, dims: ParallelDims) -> Step:
    """The micro-batch of a configuration. Raises UsageError for one that cannot be dealt out."""
    dims.check_batch(config.train.batch_size, config.train.accumulation)
    parts = dims.data_ranks * config.train.accumulation
    parts *= dims.pp_microbatches if dims.pp > 1 else 1
    return Step(
        sequence_length=config.data.sequence_length,
        sequences=config.train.batch_size // parts,
        element=2 if config.dtype == "bfloat16" else 4,
        checkpointing=config.train.activation_checkpointing,
        optimizer=config.optimizer.name,
        average=config.optimizer.ema is not None,
    )


def tokens_of(config: PretrainConfig) -> float:
    """That a configuration trains on."""
    return float(config.train.steps * config.train.batch_size * config.data.sequence_length)


def manifests_of(config: PretrainConfig) -> list[str]:
    """The manifests that a configuration names."""
    if config.data.manifest is not None:
        return [config.data.manifest]
    return [source.manifest for source in (config.data.mixture or {}).values()]


def unique_tokens(manifests: list[ShardManifestV1], split: str = "train") -> int:
    """Tokens of a split in one pass."""
    return sum(s.tokens for manifest in manifests for s in manifest.shards if s.split == split)


def as_dict(plan: RunPlan) -> dict[str, Any]:
    """For machines: bytes, operations, days."""
    found = plan._asdict()
    found["config"] = plan.config.model_dump(mode="json", exclude_defaults=True)
    found["memory"] = {
        mode: {**one._asdict(), "total": one.total} for mode, one in plan.memory.items()
    }
    return found
