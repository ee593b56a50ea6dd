"""Ranks as grids: which of them share samples, parameters or a sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from training.parallel.dims import ParallelDims


@dataclass(frozen=True)
class Meshes:
    """Views of all ranks, ordered from the slowest links to the fastest: pp, dp_replicate,
    dp_shard, cp, tp. Every rank builds them at the same time.

    All are cut from one root, as DTensor wants of meshes that meet in one parameter.
    """

    data_rank: int
    """Number of this rank among those of dp_replicate x dp_shard, which hold other samples."""
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
    pp: DeviceMesh
    """Ranks that hold other layers."""
    cp: DeviceMesh | None
    """Ranks that share sequences; None where none do."""

    @classmethod
    def of(cls, dims: ParallelDims, device_type: str) -> Meshes:
        """The views of the process group that is running.

        A view makes a process group for each of its axes, which costs time and threads: only those
        that differ from others are made.
        """
        replicas, shards = dims.dp_replicate, dims.dp_shard * dims.cp
        root = init_device_mesh(device_type, (dims.world_size,), mesh_dim_names=("world",))

        def view(**inner: int) -> DeviceMesh:
            sizes = {"pp": dims.pp, **inner, "tp": dims.tp}
            assert math.prod(sizes.values()) == dims.world_size
            return root._unflatten(0, tuple(sizes.values()), tuple(sizes))

        before = ("dp_replicate",) if replicas > 1 else ()
        replicated = {"dp_replicate": replicas} if before else {}
        dense = view(**replicated, fsdp=shards)
        expert_axis, sparse = "fsdp", dense
        if dims.ep > 1:
            expert_axis = "expert_fsdp"
            sparse = view(**replicated, expert_fsdp=shards // dims.ep, ep=dims.ep)
        sizes = {"ep": dims.ep, "tp": dims.tp}
        within = tuple(axis for axis, size in sizes.items() if size > 1)
        if not before:
            loss = dense["fsdp"]
        else:
            loss = dense["dp_replicate"] if shards == 1 else view(loss=replicas * shards)["loss"]
        return cls(
            data_rank=root.get_rank() // (dims.cp * dims.tp) % dims.data_ranks,
            loss=loss,
            shard=dense[(*before, "fsdp")],
            expert_shard=sparse[(*before, expert_axis)],
            experts=sparse[within] if within else None,
            tp=dense["tp"],
            pp=dense["pp"],
            cp=view(data=dims.data_ranks, cp=dims.cp)["cp"] if dims.cp > 1 else None,
        )
