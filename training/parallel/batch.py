"""What a rank computes on at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.data.batch import Batch as Rows


class Batch(NamedTuple):
    """Whole numbers [b, T] each: consecutive samples of a step that one data rank holds."""

    tokens: Tensor
    labels: Tensor
    """The token that follows, or -100 where there is no target."""
    positions: Tensor
    documents: Tensor | None
    """Equal numbers see each other, padding has one below 0; None: all of a row see each other, and
    none is padding."""

    @property
    def real_tokens(self) -> int:
        """Places that are no padding. Waits for the device."""
        if self.documents is None:
            return self.tokens.numel()
        return int((self.documents >= 0).sum())


def on_device(rows: Rows, device: torch.device) -> Batch:
    """A batch of the loader as tensors, copied without waiting where the device allows it."""
    found = []
    for values in rows:
        tensor = None if values is None else torch.from_numpy(np.ascontiguousarray(values))
        if tensor is not None and device.type == "cuda":
            tensor = tensor.pin_memory()
        found.append(None if tensor is None else tensor.to(device, torch.long, non_blocking=True))
    tokens, labels, positions, documents = found
    assert tokens is not None
    assert labels is not None
    assert positions is not None
    return Batch(tokens, labels, positions, documents)
