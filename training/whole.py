"""The whole model on one rank, out of parts that are spread over many."""

from __future__ import annotations

import math

import torch
from torch import distributed
from torch.distributed.tensor import DTensor

from model.adapters.lora import Factors, LoraLinear
from model.adapters.targets import adapters
from model.config import ModelConfig
from model.decoder import Decoder
from training.optim.parameters import every_tensor
from training.parallel.model import ParallelModel


def parameter_count(shape: ModelConfig) -> int:
    """Parameters of a whole model, tied ones once."""
    with torch.device("meta"):
        decoder = Decoder(shape)
    return sum(math.prod(parameter.shape) for parameter in decoder.parameters())


def whole_decoder(parallel: ParallelModel, shape: ModelConfig) -> Decoder | None:
    """A decoder with all weights on the first rank, in host memory; None on the others.

    Every rank calls it. One process, and the first of whole replicas, gets its own module, without
    a copy. Else tensors travel one at a time, so no other rank ever holds more than one whole one,
    and adapters are merged.
    """
    first = not distributed.is_initialized() or distributed.get_rank() == 0
    if parallel.dims.world_size == 1 or parallel.dims.only_replicas:
        return parallel.parts[0] if first else None
    with torch.device("meta"):
        decoder = Decoder(shape)
    if first:
        decoder = decoder.to_empty(device="cpu")
        if shape.tie_embeddings and decoder.head is not None and decoder.embedding is not None:
            # `to_empty` parts them, and of two only the one that is named last would be filled.
            decoder.head.weight = decoder.embedding.weight  # type: ignore[assignment]
    held = every_tensor(parallel.parts)
    layers = adapters(parallel.parts)
    with torch.no_grad():
        for name, target in every_tensor([decoder]).items():
            whole = _gathered(held.get(name), target, parallel)
            layer = layers.get(name.removesuffix(".weight"))
            if layer is not None and name.endswith(".weight"):
                whole = _whole_factors(layer).merge(whole)
            if first:
                target.copy_(whole)
    return decoder.eval() if first else None


def _whole_factors(layer: LoraLinear) -> Factors:
    """The adapter on every rank."""
    a, b, scale, e, magnitude = layer.factors()
    e, magnitude = (None if tensor is None else _whole(tensor) for tensor in (e, magnitude))
    return Factors(_whole(a), _whole(b), scale, e, magnitude)


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _gathered(
    here: torch.Tensor | None, like: torch.Tensor, parallel: ParallelModel
) -> torch.Tensor:
    """The whole tensor on every rank; with a pipeline, from the stage that holds it."""
    whole = None if here is None else _whole(here)
    if parallel.dims.pp == 1 or parallel.meshes is None:
        assert whole is not None
        return whole
    group = parallel.meshes.pp.get_group()
    stage = distributed.get_rank(group)
    owner = torch.tensor(-1 if whole is None else stage, device=parallel.device)
    distributed.all_reduce(owner, op=distributed.ReduceOp.MAX, group=group)
    if whole is None:
        whole = torch.empty(like.shape, dtype=like.dtype, device=parallel.device)
    whole = whole.contiguous().to(parallel.device)
    distributed.broadcast(whole, group_src=int(owner), group=group)
    return whole
