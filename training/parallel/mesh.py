"""Ranks as grids: which of them share samples, parameters or a sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from training.parallel.dims import ParallelDims


@dataclass(frozen=True)
class Meshes:
    """Views of all ranks, ordered from the slowest links to the fastest: pp, dp_replicate,
    dp_shard, cp, tp. Every rank builds them at the same time.

    All are cut from one root, as DTensor wants of meshes that meet in one parameter.
    """

    axes: DeviceMesh
    """Over pp, dp_replicate, dp_shard, cp, tp; each is there even with one rank."""
    data: DeviceMesh
    """dp_replicate x dp_shard as one axis: ranks that hold other samples."""
    loss: DeviceMesh
    """dp_replicate x dp_shard x cp as one axis: ranks that hold other tokens."""
    shard: DeviceMesh
    """What parameters are sharded over: dp_shard x cp as the axis `fsdp`, behind `dp_replicate` as
    a first axis where there are replicas."""
    expert_shard: DeviceMesh
    """What experts are sharded over besides: `expert_fsdp`, behind `dp_replicate` as `shard`."""
    experts: DeviceMesh | None
    """Ranks that hold other experts (`ep`) or other parts of them (`tp`): the axes with more than
    one rank."""
    tp: DeviceMesh
    """Ranks that share layers."""

    @classmethod
    def of(cls, dims: ParallelDims, device_type: str) -> Meshes:
        """The views of the process group that is running."""
        replicas, shards = dims.dp_replicate, dims.dp_shard * dims.cp
        root = init_device_mesh(device_type, (dims.world_size,), mesh_dim_names=("world",))

        def view(**inner: int) -> DeviceMesh:
            sizes = {"pp": dims.pp, **inner, "tp": dims.tp}
            assert math.prod(sizes.values()) == dims.world_size
            return root._unflatten(0, tuple(sizes.values()), tuple(sizes))

        dense = view(dp_replicate=replicas, fsdp=shards)
        sparse = view(dp_replicate=replicas, expert_fsdp=shards // dims.ep, ep=dims.ep)
        before = ("dp_replicate",) if replicas > 1 else ()
        within = tuple(axis for axis in ("ep", "tp") if sparse[axis].size() > 1)
        return cls(
            view(dp_replicate=replicas, dp_shard=dims.dp_shard, cp=dims.cp),
            view(data=dims.data_ranks, cp=dims.cp)["data"],
            view(loss=replicas * shards)["loss"],
            dense[(*before, "fsdp")],
            sparse[(*before, "expert_fsdp")],
            sparse[within] if within else None,
            dense["tp"],
        )

    def group(self, axis: str) -> ProcessGroup:
        """The ranks that differ from this one in one of `axes` alone."""
        return self.axes[axis].get_group()
