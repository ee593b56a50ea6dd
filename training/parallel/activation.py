"""Activation checkpointing: a block keeps its input, and some or none of what it computes.

`full` keeps nothing (Chen et al., arXiv 1604.06174). `selective` keeps what is dear to compute:
matrix products, attention and what other ranks have sent; norms, rotations, activations and sums
are computed anew (Korthikanti et al., arXiv 2205.05198, section 5; torchtitan's
`distributed/activation_checkpoint.py` keeps every second product).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import (
    SAC_IGNORED_OPS,
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from model.decoder import Decoder

_KEPT = (
    "aten::mm",
    "aten::addmm",
    "aten::_grouped_mm",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_fused_attention_overrideable",
    "torch_attn::_varlen_attn",
    "flex_attention",
    "_c10d_functional::all_reduce",
    "_c10d_functional::all_gather_into_tensor",
    "_c10d_functional::reduce_scatter_tensor",
    "_c10d_functional::all_to_all_single",
)
"""Operators by name: those that this build of torch lacks are no reason to fail."""


def _policy(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    kept = operator.name().partition(".")[0] in _KEPT
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


MODES: dict[str, dict[str, Any] | None] = {
    "none": None,
    "full": {},
    "selective": {"context_fn": partial(create_selective_checkpoint_contexts, _policy)},
}
"""By name: options of `torch.utils.checkpoint.checkpoint`."""


def checkpoint_blocks(part: Decoder, mode: str) -> None:
    """Apply a mode of `MODES` to each block, in place. Names of modules stay as they are.

    Adapters have to be in the part already: what they drop is drawn, and drawn alike when it is
    computed anew.
    """
    options = MODES[mode]
    if options is None:
        return
    if mode == "selective":
        _ignore_profiler_marks()
    for block in part.layers.values():
        # Without dropout nothing in a block is drawn, and generators' states need not be kept.
        drawn = any(getattr(module, "dropout", 0.0) > 0 for module in block.modules())
        recomputed = partial(
            checkpoint, block.forward, use_reentrant=False, preserve_rng_state=drawn, **options
        )
        setattr(block, "forward", recomputed)  # noqa: B010 - a method, as mypy sees it


def _ignore_profiler_marks() -> None:
    """FSDP sets other marks for the profiler when experts are computed anew than before, and torch
    would take a mark that is new for a computation that is."""
    enter = torch.ops.profiler._record_function_enter_new.default
    leave = torch.ops.profiler._record_function_exit._RecordFunction
    SAC_IGNORED_OPS.update((enter, leave))
