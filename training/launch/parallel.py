"""Whether the degrees of parallelism of a configuration fit the GPUs of a job."""

from __future__ import annotations

import math
from typing import Any

from schemas.errors import UsageError
from schemas.job import TrainingJob

MESH = ("dp_replicate", "dp_shard", "tp", "pp", "cp")
"""The axes whose degrees multiply to the number of processes; experts share them."""

WITHIN_NODE = "tp"
"""Tensor parallelism exchanges activations in every layer, which only the links inside a node
carry at speed (Narayanan et al., arXiv 2104.04473, section 5.4.1)."""


def check_parallel(parallel: Any, job: TrainingJob, origin: str) -> None:
    """Raises UsageError, naming the key, when the degrees cannot be laid over the job's GPUs.

    A degree that is left out counts as 1; dp_shard, left out or -1, as what the others leave.
    """
    if parallel is None:
        return
    if not isinstance(parallel, dict):
        raise UsageError(f"{origin}: parallel: a section is needed, not {parallel!r}")
    degrees = {axis: _degree(parallel, axis, origin) for axis in (*MESH, "ep")}
    gpus = f"{job.nodes} x {job.gpus_per_node} = {job.processes} GPUs (nodes, gpus_per_node)"
    product = math.prod(degrees[axis] for axis in MESH)
    terms = " * ".join(f"{axis} {degrees[axis]}" for axis in MESH if degrees[axis] != 1)
    if job.processes % product:
        raise UsageError(f"{origin}: parallel: {terms} = {product} does not divide {gpus}")
    left = job.processes // product
    if parallel.get("dp_shard", -1) == -1:
        degrees["dp_shard"] = left
    elif left > 1:
        raise UsageError(
            f"{origin}: parallel: {terms or 'dp_shard 1'} = {product} of {gpus}: set dp_shard to "
            "-1 to take what is left"
        )
    sharing = degrees["dp_shard"] * degrees["cp"]
    if sharing % degrees["ep"]:
        raise UsageError(
            f"{origin}: parallel.ep: {degrees['ep']} does not divide dp_shard * cp = {sharing}, "
            "the ranks that experts are spread over"
        )
    if job.gpus_per_node % degrees[WITHIN_NODE]:
        raise UsageError(
            f"{origin}: parallel.{WITHIN_NODE}: {degrees[WITHIN_NODE]} does not divide the "
            f"{job.gpus_per_node} GPUs of a node (gpus_per_node)"
        )


def _degree(parallel: dict[Any, Any], axis: str, origin: str) -> int:
    degree = parallel.get(axis, 1)
    if axis == "dp_shard" and degree == -1:
        return 1
    if isinstance(degree, bool) or not isinstance(degree, int) or degree < 1:
        raise UsageError(f"{origin}: parallel.{axis}: a whole number from 1 on, not {degree!r}")
    return degree
