"""The processes of a run, as torchrun started them; one process alone needs no process group."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
from torch import distributed

from schemas.errors import UsageError

TIMEOUT = timedelta(minutes=60)
"""For the slowest thing that ranks wait for: the first one tokenizing text, or saving."""


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all."""
        if self.size > 1:
            distributed.barrier()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some rank; all get the same answer."""
        if self.size == 1:
            return flag
        flags = torch.tensor(int(flag), device=self.device)
        distributed.all_reduce(flags, op=distributed.ReduceOp.MAX)
        return bool(flags.item())


@contextmanager
def distributed_world(device: Literal["auto", "cpu", "cuda"]) -> Iterator[World]:
    """Join the processes that torchrun started (its variables RANK, WORLD_SIZE, LOCAL_RANK), each
    on the GPU of its local rank or on the CPU; without them this process is alone.

    Raises UsageError when `cuda` is asked for and not there.
    """
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: cuda, but torch sees no GPU here; set device to cpu or auto")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if kind == "cuda" and local >= torch.cuda.device_count():
        raise UsageError(
            f"device: local rank {local} has no GPU of its own: {torch.cuda.device_count()} are "
            "here; start one process a GPU (torchrun --nproc-per-node)"
        )
    place = torch.device("cuda", local) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(place)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, place)
        return
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    distributed.init_process_group(
        backend, timeout=TIMEOUT, device_id=place if kind == "cuda" else None
    )
    try:
        yield World(distributed.get_rank(), size, place)
    finally:
        distributed.destroy_process_group()
