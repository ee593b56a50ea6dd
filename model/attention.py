"""Attention behind one function: who sees whom is one rule, whichever kernel computes it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from model.kernels.blocked import blocked, prepare_blocked
from model.kernels.flex import flex, prepare_flex
from model.kernels.sdpa import prepare_sdpa, sdpa
from model.kernels.varlen import prepare_varlen, varlen
from model.visibility import Visibility

__all__ = ["KERNELS", "PREPARATIONS", "Visibility", "attention", "best_kernel", "prepare"]

Kernel = Callable[[Tensor, Tensor, Tensor, Visibility, "int | None", "Tensor | None"], Tensor]

KERNELS: dict[str, Kernel] = {"sdpa": sdpa, "blocked": blocked, "varlen": varlen, "flex": flex}
"""By name: (q, k, v, visibility, window, alibi slopes) -> [B, Tq, H, d]."""

Preparation = Callable[[Visibility, int, "int | None", "Tensor | None"], None]

PREPARATIONS: dict[str, Preparation] = {
    "sdpa": prepare_sdpa,
    "blocked": prepare_blocked,
    "varlen": prepare_varlen,
    "flex": prepare_flex,
}
"""By name: (visibility, B, window, alibi slopes), to derive what the kernel of that name needs."""

_FLEX_BLOCK = 128
"""Queries that FlexAttention handles together. For fewer a dense mask is the smaller one, and its
kernel for them takes groups of heads of some sizes alone."""
_FLEX_LEAST_SIZE = 16
"""Numbers a head that its compiled kernel asks for (torch/_inductor/kernel/flex)."""


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    see: Visibility,
    *,
    window: int | None = None,
    slopes: Tensor | None = None,
    kernel: str = "auto",
) -> Tensor:
    """softmax(q k' / sqrt(d) + bias) v over the keys that each query sees.

    q [B, Tq, H, d], k and v [B, Tk, K, d] with K dividing H -> [B, Tq, H, d]. `slopes` [H] are
    ALiBi's. `auto` takes the fastest kernel that is exact for the device, type and rule.
    """
    name = best_kernel(q, see, window, slopes) if kernel == "auto" else kernel
    return KERNELS[name](q, k, v, see, window, slopes)


def prepare(
    q: Tensor,
    see: Visibility,
    *,
    window: int | None = None,
    slopes: Tensor | None = None,
    kernel: str = "auto",
) -> None:
    """Derive now what `attention` with these arguments derives from `see` when it is missing: code
    that is compiled can read it but not keep it. Of q its shape, type and device count."""
    name = best_kernel(q, see, window, slopes) if kernel == "auto" else kernel
    PREPARATIONS[name](see, q.shape[0], window, slopes)


def best_kernel(q: Tensor, see: Visibility, window: int | None, slopes: Tensor | None) -> str:
    """The name that `auto` stands for, for queries [B, Tq, H, d].

    sdpa where it needs no mask, where the mask is small (few queries, as in generation) and off
    CUDA; varlen for packed documents and windows in half precision; flex for the rest: queries
    that are not their keys (context parallelism, a cache), ALiBi, float32.
    """
    if q.device.type != "cuda" or (slopes is None and see.is_plain_causal(window)):
        return "sdpa"
    half = q.dtype in (torch.bfloat16, torch.float16)
    # Flash attention's sizes: multiples of 8 up to 256.
    fits = q.shape[-1] % 8 == 0 and q.shape[-1] <= 256
    if see.aligned and slopes is None and half and fits:
        return "varlen"
    return "flex" if q.shape[1] >= _FLEX_BLOCK and q.shape[-1] >= _FLEX_LEAST_SIZE else "sdpa"
