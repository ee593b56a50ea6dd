"""Data parallelism: whole replicas (DDP), or parameters sharded over ranks (FSDP2, HSDP).

Losses are sums, so gradients are summed: both are told not to divide.
"""

# Annotations are not postponed here: DDP looks at those of its hook.
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from model.decoder import Decoder
from training.parallel.expert import expert_cuts


def replicate(part: Decoder, group: distributed.ProcessGroup) -> DistributedDataParallel:
    """A wrapper whose backward pass sums the gradients of all ranks."""
    wrapper = DistributedDataParallel(
        part, process_group=group, forward_sync_buffers=False, gradient_as_bucket_view=True
    )
    wrapper.register_comm_hook(group, _sum)
    return wrapper


def _sum(group: distributed.ProcessGroup, bucket: distributed.GradBucket) -> Future[torch.Tensor]:
    work = distributed.all_reduce(bucket.buffer(), group=group, async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


def shard(
    part: Decoder,
    mesh: DeviceMesh,
    dtype: torch.dtype,
    cpu_offload: bool,
    expert_mesh: DeviceMesh | None = None,
) -> None:
    """Shard in place: each block by itself, the embedding, and norm with head.

    `mesh` has one axis, or replicas before it (HSDP). Computation is in `dtype`, gradients are
    reduced in float32. Inputs are not cast: rotations have to stay in float32. With `expert_mesh`
    the experts, which are cut already, are sharded over it instead.
    """
    policy = MixedPrecisionPolicy(
        param_dtype=None if dtype == torch.float32 else dtype,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    offload: OffloadPolicy = OffloadPolicy()
    if cpu_offload:
        offload = CPUOffloadPolicy(pin_memory=mesh.device_type == "cuda")

    if expert_mesh is not None:
        for layer in part.moe_layers():
            fully_shard(
                layer.experts,
                mesh=expert_mesh,
                mp_policy=policy,
                offload_policy=offload,
                shard_placement_fn=expert_cuts(layer.experts),
            )

    def wrap(module: nn.Module | list[nn.Module], keep: bool = False) -> None:
        fully_shard(
            module,
            mesh=mesh,
            mp_policy=policy,
            offload_policy=offload,
            reshard_after_forward=False if keep else None,
        )

    for block in part.layers.values():
        wrap(block)
    if not part.config.tie_embeddings:
        if part.embedding is not None:
            wrap(part.embedding)
        if part.norm is not None and part.head is not None:
            # Their backward pass comes first: gathered weights would be freed for nothing.
            wrap([part.norm, part.head], keep=True)
    wrap(part)
    for module in sharded_modules(part):
        # NCCL divides by a premultiplied sum, which gloo lacks; without it, 1.0 divides nothing.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)


def sharded_modules(part: nn.Module) -> list[FSDPModule]:
    """All modules that `fully_shard` was called on."""
    return [module for module in part.modules() if isinstance(module, FSDPModule)]
