"""How the micro-batches of a rank go through its part of the model, without a pipeline.

An execution leaves in `.grad` the sums over all ranks that hold other tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from model.decoder import Decoder, Head
from training.parallel.batch import Batch


class Execution(Protocol):
    """What a `ParallelModel` runs its parts by."""

    def forward_backward(
        self, batches: Sequence[Batch], denominator: Tensor, z_loss: float
    ) -> Tensor:
        """Sums [2] of this rank's tokens; gradients of (cross-entropy + z_loss * squares) /
        denominator, summed over ranks and micro-batches."""
        ...

    def evaluate(self, batch: Batch) -> Tensor:
        """Sums [2] of this rank's tokens, without gradients."""
        ...


class Alone:
    """One process, one decoder; also the base of what wraps or shards it."""

    def __init__(self, decoder: Decoder, dtype: torch.dtype, device: torch.device) -> None:
        self.decoder = decoder
        self._forward: Callable[..., Tensor] = decoder
        # Sharded modules bring their own types.
        self._autocast_to = None if dtype == torch.float32 else dtype
        self._device = device

    def forward_backward(
        self, batches: Sequence[Batch], denominator: Tensor, z_loss: float
    ) -> Tensor:
        """See `Execution`."""
        if isinstance(self.decoder.head, Head):
            self.decoder.head.z_gradient = z_loss != 0
        total = torch.zeros(2, device=self._device)
        for number, batch in enumerate(batches, start=1):
            with self._gradients(last=number == len(batches)):
                sums = self._sums(self._forward, batch)
                ((sums[0] + z_loss * sums[1]) / denominator).backward()
            total += sums.detach()
        return total

    def evaluate(self, batch: Batch) -> Tensor:
        """See `Execution`."""
        with torch.no_grad():
            return self._sums(self.decoder, batch)

    def _sums(self, forward: Callable[..., Tensor], batch: Batch) -> Tensor:
        with torch.autocast(
            self._device.type, self._autocast_to, enabled=self._autocast_to is not None
        ):
            return forward(batch.tokens, batch.positions, batch.documents, batch.labels)

    @contextlib.contextmanager
    def _gradients(self, last: bool) -> Iterator[None]:
        """Around each micro-batch: gradients need to meet in the last one only."""
        yield


class Replicated(Alone):
    """DDP."""

    def __init__(
        self, wrapper: DistributedDataParallel, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(wrapper.module, dtype, device)
        self._forward = self._wrapper = wrapper

    @contextlib.contextmanager
    def _gradients(self, last: bool) -> Iterator[None]:
        with contextlib.nullcontext() if last else self._wrapper.no_sync():
            yield


class Sharded(Alone):
    """FSDP2 and HSDP. Each micro-batch scatters its gradients, so that no rank ever holds those of
    all parameters; replicas meet once a step."""

    def __init__(self, decoder: Decoder, device: torch.device) -> None:
        super().__init__(decoder, torch.float32, device)

    @contextlib.contextmanager
    def _gradients(self, last: bool) -> Iterator[None]:
        assert isinstance(self.decoder, FSDPModule)
        self.decoder.set_requires_all_reduce(last)
        self.decoder.set_is_last_backward(last)
        yield
