"""Ways of making instructions, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from training.instruct.methods import evol_instruct, self_instruct
from training.instruct.methods.contract import Method, Run, Workshop

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "self_instruct": Method(self_instruct.prepare, "arXiv 2212.10560"),
        "evol_instruct": Method(evol_instruct.prepare, "arXiv 2304.12244"),
    }
)

__all__ = ["METHODS", "Method", "Run", "Workshop"]
