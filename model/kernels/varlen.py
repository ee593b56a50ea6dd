"""torch's variable-length attention: packed documents as sequences of their own, no mask at all.

For CUDA in half precision. Not run on CUDA by the tests of this repository: they check the cuts
and the call against a stand-in that follows torch's documentation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.visibility import Visibility


class Cuts(NamedTuple):
    """Where the sequences of a batch begin, all rows laid end to end."""

    starts: Tensor
    """int32 [sequences + 1], from 0 to B * T."""
    longest: int


def varlen(
    q: Tensor, k: Tensor, v: Tensor, see: Visibility, window: int | None, slopes: Tensor | None
) -> Tensor:
    """See `model.attention.attention`; for aligned queries and keys, without slopes.

    Raises ValueError for another rule.
    """
    from torch.nn.attention.varlen import varlen_attn

    if not see.aligned or slopes is not None:
        raise ValueError("the kernel varlen needs aligned queries and keys, and no ALiBi slopes")
    batch, length = q.shape[:2]
    starts, longest = _cuts(see, batch)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    # A window here counts the keys to the left of a query, ours counts the query too.
    left = -1 if window is None else window - 1
    out = varlen_attn(
        q,
        k,
        v,
        starts,
        starts,
        longest,
        longest,
        window_size=(left, 0),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    assert isinstance(out, Tensor)
    return out.unflatten(0, (batch, length))


def prepare_varlen(see: Visibility, batch: int, window: int | None, slopes: Tensor | None) -> None:
    """See `model.attention.prepare`."""
    _cuts(see, batch)


def _cuts(see: Visibility, batch: int) -> Cuts:
    length = see.query_positions.shape[1]
    return see.derive(("cuts", batch), lambda: cuts(see.query_documents, batch, length))


def cuts(documents: Tensor | None, batch: int, length: int) -> Cuts:
    """The sequences of [B or 1, T] documents: runs of one number, ended by the end of a row.

    Without documents they are the rows. Waits for the device once.
    """
    if documents is None:
        device = None
        begins = torch.arange(0, batch * length, length)
    else:
        device = documents.device
        first = torch.ones_like(documents[:, :1], dtype=torch.bool)
        changes = torch.cat((first, documents[:, 1:] != documents[:, :-1]), dim=1)
        begins = changes.expand(batch, -1).flatten().nonzero().flatten()
    starts = functional.pad(begins, (0, 1), value=batch * length).to(torch.int32)
    return Cuts(starts.to(device), int(starts.diff().max()))
