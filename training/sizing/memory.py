"""Bytes a device needs for a training step, by what needs them. Imports no torch.

Parameters, gradients and optimizer state are exact for one process (tests count the tensors) and
exact up to padding over ranks. Activations follow Korthikanti et al. (arXiv 2205.05198, section
4), with what this decoder keeps: fused attention in place of scores, SwiGLU, grouped keys and
values, no dropout. Not counted: the allocator's gaps, communication buffers and workspaces; leave
a tenth of the device for them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from model.config import ModelConfig
from training.parallel.dims import ParallelDims
from training.sizing.parameters import ModelParameters, count

FLOAT = 4
ADAMW_STATES = 2
MUON_STATES = 1

Checkpointing = Literal["none", "selective", "full"]

CHUNK_TOKENS = 1024
"""Tokens whose logits exist at a time: `model.cross_entropy.CHUNK_TOKENS`, which needs torch."""


class Step(NamedTuple):
    """What is computed at a time, and how."""

    sequence_length: int
    sequences: int
    """Of one micro-batch on one data rank."""
    element: int = 2
    """Bytes a number of the computation: 2 for bfloat16, 4 for float32."""
    checkpointing: Checkpointing = "none"
    optimizer: Literal["adamw", "muon"] = "adamw"
    average: bool = False
    """A moving average of the weights is kept."""


class Memory(NamedTuple):
    """Bytes of one device, of the fullest pipeline stage."""

    parameters: int
    gradients: int
    optimizer: int
    average: int
    copies: int
    """Weights gathered from other ranks or cast, and gradients on their way to them."""
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All."""
        return sum(self)


def memory(config: ModelConfig, dims: ParallelDims, step: Step) -> Memory:
    """What a device needs at most."""
    parameters = count(config)
    shards = dims.dp_shard * dims.cp
    ends, layers = _held(parameters, dims)
    held = -(-(ends + layers) // shards)
    orthogonalized = _orthogonalized(config, parameters, dims) // shards
    states = ADAMW_STATES * held
    if step.optimizer == "muon":
        states -= (ADAMW_STATES - MUON_STATES) * orthogonalized
    return Memory(
        parameters=FLOAT * held,
        gradients=FLOAT * held,
        optimizer=FLOAT * states,
        average=FLOAT * held if step.average else 0,
        copies=_copies(parameters, dims, step),
        activations=_activations(config, dims, step),
        logits=_logits(config, dims, step),
    )


def layers_of_a_stage(n_layers: int, dims: ParallelDims) -> int:
    """Of the fullest one."""
    return -(-n_layers // dims.stages)


def layers_of_a_rank(n_layers: int, dims: ParallelDims) -> int:
    """Of the fullest one, which may hold several stages."""
    return dims.pp_parts * layers_of_a_stage(n_layers, dims)


def stages_in_flight(dims: ParallelDims) -> int:
    """Stages times micro-batches whose activations the first rank keeps at most, as torch's
    schedules have it: 1F1B has a micro-batch for each stage; where it is interleaved
    (Narayanan et al., arXiv 2104.04473, section 2.2), a round for each stage of the rank but the
    last one, and then two for each of the other ranks."""
    if dims.pp_parts == 1:
        return min(dims.pp, dims.pp_microbatches)
    a_round = dims.pp_microbatches // dims.rounds
    before = (dims.pp_parts - 1) * a_round + 2 * (dims.pp - 1) + 1
    return min(before, dims.pp_parts * dims.pp_microbatches)


def _layer(parameters: ModelParameters, dims: ParallelDims) -> int:
    """Parameters of a layer on one rank, before they are sharded. Expert parallelism takes its
    ranks from those that shard, so it changes what is gathered and not what is held."""
    layer = parameters.layer
    return layer.cut // dims.tp + layer.whole + layer.experts


def _held(parameters: ModelParameters, dims: ParallelDims) -> tuple[int, int]:
    """Parameters of embedding, head and norm, and of the layers, of the fullest stage before they
    are sharded."""
    tables = (parameters.embedding, parameters.head)
    # With a pipeline the first stage has the embedding and the last one the head.
    ends = (max(tables) if dims.pp > 1 else sum(tables)) // dims.tp + parameters.norm
    layers = layers_of_a_rank(parameters.n_layers, dims)
    return ends, layers * _layer(parameters, dims)


def _orthogonalized(config: ModelConfig, parameters: ModelParameters, dims: ParallelDims) -> int:
    layer = parameters.layer
    whole = 0 if config.moe is None else 3 * config.dim * config.moe.n_shared * config.expert_dim
    cut = (layer.orthogonalized - layer.experts - whole) // dims.tp
    layers = layers_of_a_rank(parameters.n_layers, dims)
    return layers * (cut + whole + layer.experts)


def _copies(parameters: ModelParameters, dims: ParallelDims, step: Step) -> int:
    """FSDP holds two blocks gathered, the one that runs and the next one, beside embedding and
    head, and a block's gradients in the type of the computation and in float32. Without it,
    autocast keeps a copy of what it casts, and DDP a bucket for every gradient."""
    ends, layers = _held(parameters, dims)
    if dims.dp_shard * dims.cp > 1:
        layer = parameters.layer
        block = layer.cut // dims.tp + layer.whole + layer.experts // dims.ep
        return step.element * (2 * block + ends) + (step.element + FLOAT) * block
    cast = step.element * (ends + layers) if step.element < FLOAT else 0
    return cast + (FLOAT * (ends + layers) if dims.only_replicas else 0)


def layer_bytes(config: ModelConfig, dims: ParallelDims, step: Step) -> float:
    """Kept for the backward pass by one layer for each token of a rank, without checkpointing.

    Two norms keep input and output each (in bfloat16 the input widened to float32, and the output
    twice: before and after the weight): 8 bytes a number in either type. Attention keeps queries,
    keys, values, its result and a float32 a head; SwiGLU gate, up, their activation and product.
    """
    element, tp = step.element, dims.tp
    queries, keys = config.n_heads * config.head_size, config.kv_heads * config.head_size
    attention = element * (2 * queries + 2 * keys * dims.cp) / tp + FLOAT * config.n_heads / tp
    return 16 * config.dim + attention + _feed_forward_bytes(config, tp, element)


def _feed_forward_bytes(config: ModelConfig, tp: int, element: int) -> float:
    if config.moe is None:
        return element * 4 * config.hidden_dim / tp
    moe = config.moe
    routing = 2 * FLOAT * moe.n_experts + (FLOAT * config.dim if element < FLOAT else 0)
    # Each choice: the token's copy, the result, and the result in the token's place.
    chosen = moe.top_k * (3 * config.dim + 4 * config.expert_dim)
    return routing + element * (chosen + 4 * moe.n_shared * config.expert_dim)


def _checkpointed_bytes(config: ModelConfig, dims: ParallelDims, step: Step) -> float:
    """Of one layer and token: `full` keeps the input; `selective` also the results of products and
    of attention, see `training.parallel.activation`."""
    element, dim = step.element, config.dim
    if step.checkpointing == "full":
        return element * dim
    queries, keys = config.n_heads * config.head_size, config.kv_heads * config.head_size
    attention = element * (2 * queries + 2 * keys * dims.cp) / dims.tp
    attention += FLOAT * config.n_heads / dims.tp
    if config.moe is None:
        inner = 2 * config.hidden_dim / dims.tp + dim
    else:
        moe = config.moe
        inner = moe.top_k * (2 * config.expert_dim + dim)
        inner += 2 * moe.n_shared * config.expert_dim + (dim if moe.n_shared else 0)
    # Results that tensor parallelism has added up over ranks are kept beside the parts.
    sums = 2 * dim if dims.tp > 1 else 0
    return attention + element * (dim + dim + inner + sums)


def _activations(config: ModelConfig, dims: ParallelDims, step: Step) -> int:
    tokens = step.sequences * step.sequence_length / dims.cp
    stage = layers_of_a_stage(config.n_layers, dims)
    whole = layer_bytes(config, dims, step)
    ends = 8 * config.dim
    if step.checkpointing == "none":
        kept, at_a_time = stage * whole, 0.0
    else:
        kept, at_a_time = stage * _checkpointed_bytes(config, dims, step), whole
    return int(tokens * (stages_in_flight(dims) * kept + at_a_time + ends))


def _logits(config: ModelConfig, dims: ParallelDims, step: Step) -> int:
    """Logits of a chunk: in float32 with exponentials and gradient; below it also in that type,
    with a gradient there."""
    tokens = min(CHUNK_TOKENS, int(step.sequences * step.sequence_length / dims.cp))
    each = 3 * FLOAT + (2 * step.element if step.element < FLOAT else 0)
    return tokens * -(-config.vocab_size // dims.tp) * each
