"""The order in which plans are laid over a decoder: each expects those before it."""

from __future__ import annotations

import torch

from model.adapters.targets import adapt, adapted_layers
from model.adapters.virtual import add_virtual_tokens
from model.config import ModelConfig
from model.decoder import Decoder
from training.config import TrainingConfig
from training.parallel import tensor, weights
from training.parallel.activation import checkpoint_blocks
from training.parallel.compiled import compile_blocks
from training.parallel.context import apply_context_parallel
from training.parallel.dims import ParallelDims
from training.parallel.execution import Alone, Execution, Replicated, Sharded
from training.parallel.expert import apply_expert_parallel
from training.parallel.mesh import Meshes
from training.parallel.pipeline import Pipelined, stage_parts
from training.parallel.sharding import replicate, shard


def lay_out(
    shape: ModelConfig,
    config: TrainingConfig,
    dims: ParallelDims,
    meshes: Meshes | None,
    device: torch.device,
) -> tuple[tuple[Decoder, ...], Execution]:
    """What a rank holds of a decoder, without values in its weights, and how to run it."""
    dtype = getattr(torch, config.dtype)
    with torch.device("meta"):
        if meshes is not None and dims.pp > 1:
            parts = stage_parts(shape, meshes.pp.get_group().rank(), dims.pp, dims.pp_parts)
        else:
            parts = [Decoder(shape)]
        if config.lora is not None:
            layers = adapted_layers(shape, config.lora)
            for part in parts:
                adapt(part, layers, config.lora)
        if config.prompt_tuning is not None:
            for part in parts:
                add_virtual_tokens(part, config.prompt_tuning)
    for part in parts:
        _cut(part, config, dims, meshes)
    if meshes is None or dims.world_size == 1 or dims.only_replicas:
        (decoder,) = parts
        weights.materialize(decoder, device)
        if meshes is None or dims.world_size == 1:
            return (decoder,), Alone(decoder, dtype, device)
        group = meshes.loss.get_group()
        return (decoder,), Replicated(replicate(decoder, group), dtype, device)
    offload = config.train.cpu_offload
    for part in parts:
        experts = None if meshes.experts is None else meshes.expert_shard
        shard(part, meshes.shard, dtype, offload, experts)
        weights.materialize(part, torch.device("cpu") if offload else device)
    if dims.pp > 1:
        group, count = meshes.pp.get_group(), dims.pp_microbatches
        pipelined = Pipelined(parts, group, microbatches=count, dtype=dtype, device=device)
        return tuple(parts), pipelined
    return tuple(parts), Sharded(parts[0], device)


def _cut(part: Decoder, config: TrainingConfig, dims: ParallelDims, meshes: Meshes | None) -> None:
    """All plans but data parallelism."""
    if meshes is not None and dims.tp > 1:
        tensor.parallelize(part, meshes.tp)
    if meshes is not None and meshes.cp is not None:
        apply_context_parallel(part, meshes.cp.get_group())
    if meshes is not None and meshes.experts is not None:
        apply_expert_parallel(part, meshes.experts)
    checkpoint_blocks(part, config.train.activation_checkpointing)
    if config.train.compile:
        compile_blocks(part)
