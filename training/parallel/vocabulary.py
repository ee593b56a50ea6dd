"""Embedding and head whose rows are cut over ranks: each holds a part of the vocabulary.

Rows are dealt in parts of ceil(V / ranks), as DTensor does; the last part may be shorter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from model.cross_entropy import IGNORED
from training.parallel.collectives import reduced, sum_of_gradients, sum_of_parts


class _Rows(nn.Module):
    """A weight [V, dim] of which this rank holds some rows."""

    weight: nn.Parameter

    def __init__(self, weight: nn.Parameter, mesh: DeviceMesh) -> None:
        super().__init__()
        self.weight = weight
        self.mesh = mesh
        self.group = mesh.get_group()
        self.vocab_size = weight.shape[0]
        self.first = mesh.get_local_rank() * -(-self.vocab_size // mesh.size())

    def rows(self) -> Tensor:
        """Those held here, [V', dim]."""
        assert isinstance(self.weight, DTensor)
        return self.weight.to_local()

    def own(self, tokens: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Which tokens have their row here, and its number here; 0 for the others."""
        local = tokens - self.first
        here = (local >= 0) & (local < rows.shape[0])
        return here, torch.where(here, local, 0)


class VocabularyEmbedding(_Rows):
    """`nn.Embedding` (Megatron-LM's VocabParallelEmbedding, `core/tensor_parallel/layers.py`)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, T, dim]."""
        rows = self.rows()
        here, local = self.own(tokens, rows)
        found = functional.embedding(local, rows) * here[..., None]
        return sum_of_parts(found, self.group)


class VocabularyHead(_Rows):
    """`model.decoder.Head`; no rank ever sees the logits of the whole vocabulary for a loss."""

    def __init__(self, weight: nn.Parameter, mesh: DeviceMesh, chunk_tokens: int) -> None:
        super().__init__(weight, mesh)
        self.chunk_tokens = chunk_tokens

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        """hidden [B, T, dim] -> logits [B, T, V]; with labels [B, T] -> sums [2], see
        `model.cross_entropy.loss_sums`."""
        hidden, rows = sum_of_gradients(hidden, self.group), self.rows()
        if labels is None:
            return self._gathered(functional.linear(hidden, rows))
        total = hidden.new_zeros(2, dtype=torch.float32)
        chunks = (x.flatten(0, 1).split(self.chunk_tokens) for x in (hidden, labels[..., None]))
        for h, y in zip(*chunks, strict=True):
            if torch.is_grad_enabled():
                part = checkpoint(self._chunk_sums, h, rows, y[:, 0], use_reentrant=False)
            else:
                part = self._chunk_sums(h, rows, y[:, 0])
            total = total + part
        return total

    def _chunk_sums(self, hidden: Tensor, rows: Tensor, labels: Tensor) -> Tensor:
        """Megatron-LM's vocab_parallel_cross_entropy (`core/tensor_parallel/cross_entropy.py`):
        ranks exchange maximum, sum of exponentials and the label's logit of each token."""
        logits = functional.linear(hidden, rows).float()
        highest = reduced(logits.amax(dim=-1), "max", self.group)
        exponentials = (logits - highest[:, None]).exp().sum(dim=-1)
        target = labels != IGNORED
        here, local = self.own(labels, rows)
        chosen = logits.gather(1, local[:, None])[:, 0] * here
        parts = sum_of_parts(torch.stack((exponentials, chosen)), self.group)
        log_z = parts[0].log() + highest
        zero = log_z.new_zeros(())
        cross_entropy = torch.where(target, log_z - parts[1], zero).sum()
        return torch.stack((cross_entropy, torch.where(target, log_z.square(), zero).sum()))

    def _gathered(self, logits: Tensor) -> Tensor:
        shape = torch.Size((*logits.shape[:-1], self.vocab_size))
        stride = torch.empty(shape, device="meta").stride()
        whole = DTensor.from_local(
            logits, self.mesh, [Shard(2)], run_check=False, shape=shape, stride=stride
        )
        return whole.full_tensor()
