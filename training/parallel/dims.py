"""How many ranks each kind of parallelism gets, checked before anything is built.

The one place that knows what divides what; every refusal is one line with the numbers in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.config import ModelConfig
from schemas.errors import UsageError
from training.config import Parallel, TrainingConfig


@dataclass(frozen=True)
class ParallelDims:
    """Degrees whose product, `ep` aside, is the number of ranks."""

    dp_replicate: int = 1
    dp_shard: int = 1
    tp: int = 1
    pp: int = 1
    cp: int = 1
    ep: int = 1
    pp_microbatches: int = 1
    pp_parts: int = 1
    """Stages that each rank of `pp` holds."""

    @classmethod
    def of(cls, parallel: Parallel, world_size: int) -> ParallelDims:
        """The degrees of a configuration on `world_size` ranks; dp_shard -1 takes what is left.

        Raises UsageError if they do not fit.
        """
        fixed = {name: getattr(parallel, name) for name in ("dp_replicate", "tp", "pp", "cp")}
        others = math.prod(fixed.values())
        shard = parallel.dp_shard
        if shard == -1:
            if world_size % others:
                raise UsageError(
                    f"parallel: {_product(fixed)} = {others} does not divide the {world_size} "
                    f"ranks, so dp_shard -1 has no value; start a multiple of {others} ranks"
                )
            shard = world_size // others
        if others * shard != world_size:
            fixed = {"dp_shard": shard, **fixed}
            raise UsageError(
                f"parallel: {_product(fixed)} = {others * shard}, but there are {world_size} "
                f"ranks; start {others * shard}, or set dp_shard to -1 to take what is left"
            )
        if (shard * parallel.cp) % parallel.ep:
            raise UsageError(
                f"parallel.ep: {parallel.ep} does not divide dp_shard * cp = {shard} * "
                f"{parallel.cp}; experts are spread over these ranks"
            )
        microbatches = parallel.pp_microbatches or (2 * parallel.pp if parallel.pp > 1 else 1)
        return cls(
            **fixed | {"dp_shard": shard},
            ep=parallel.ep,
            pp_microbatches=microbatches,
            pp_parts=parallel.pp_parts,
        )

    @property
    def world_size(self) -> int:
        """Ranks in all."""
        return self.dp_replicate * self.dp_shard * self.tp * self.pp * self.cp

    @property
    def data_ranks(self) -> int:
        """Parts that the samples of a step are dealt into; ranks of cp, tp and pp share a part."""
        return self.dp_replicate * self.dp_shard

    @property
    def stages(self) -> int:
        """Parts that the layers are dealt into."""
        return self.pp * self.pp_parts

    @property
    def rounds(self) -> int:
        """In which interleaved stages take the micro-batches, about one for each rank of `pp` at a
        time: torch's ScheduleInterleaved1F1B wants as many in each."""
        return max(1, self.pp_microbatches // self.pp)

    @property
    def only_replicas(self) -> bool:
        """Whether every rank holds the whole model: plain data parallelism."""
        return self.world_size == self.dp_replicate > 1

    def check_model(self, shape: ModelConfig, sequence_length: int) -> None:
        """Raise UsageError if a model cannot be laid out like this."""
        for what, number, degree in (
            ("model.n_heads", shape.n_heads, self.tp),
            ("model.n_kv_heads", shape.kv_heads, self.tp),
            ("model.moe.ffn_dim" if shape.moe else "model.ffn_dim", shape.expert_dim, self.tp),
        ):
            if number % degree:
                raise UsageError(f"parallel.tp: {degree} does not divide {what} {number}")
        if -(-shape.vocab_size // self.tp) * (self.tp - 1) >= shape.vocab_size:
            raise UsageError(
                f"parallel.tp: {self.tp} ranks cannot share {shape.vocab_size} rows of the "
                "vocabulary; a rank would hold none"
            )
        self._check_stages(shape.n_layers)
        if self.cp > 1 and sequence_length % (2 * self.cp):
            raise UsageError(
                f"parallel.cp: 2 * cp = {2 * self.cp} does not divide data.sequence_length "
                f"{sequence_length}; each rank takes two pieces of a sequence"
            )
        if self.ep > 1 and shape.moe is None:
            raise UsageError(f"parallel.ep: {self.ep}, but the model has no experts (model.moe)")
        if shape.moe is not None and shape.moe.n_experts % self.ep:
            raise UsageError(
                f"parallel.ep: {self.ep} does not divide model.moe.n_experts {shape.moe.n_experts}"
            )
        others = self.dp_shard * self.cp // self.ep
        if shape.moe is not None and self.ep * self.tp > 1 and shape.dim % others:
            raise UsageError(
                f"parallel: dp_shard * cp / ep = {others} does not divide model.dim {shape.dim}, "
                "along which each rank's experts are sharded"
            )

    def _check_stages(self, n_layers: int) -> None:
        if self.pp_parts > 1 and self.pp == 1:
            raise UsageError(
                f"parallel.pp_parts: {self.pp_parts} stages a rank, but parallel.pp is 1: there is "
                "no pipeline"
            )
        if self.stages > n_layers:
            parts = f" * pp_parts {self.pp_parts} = {self.stages}" if self.pp_parts > 1 else ""
            raise UsageError(
                f"parallel.pp: {self.pp}{parts} stages for model.n_layers {n_layers}; "
                "each stage needs a layer"
            )
        if self.pp_microbatches < self.pp:
            raise UsageError(
                f"parallel.pp_microbatches: {self.pp_microbatches} for {self.pp} stages "
                "(parallel.pp), which would never all work; take twice as many as stages or more"
            )
        if self.pp_parts > 1 and self.pp_microbatches % self.rounds:
            raise UsageError(
                f"parallel.pp_microbatches: {self.pp_microbatches} cannot be dealt into the "
                f"{self.rounds} rounds of interleaved stages (parallel.pp_parts); take a multiple "
                f"of parallel.pp {self.pp}"
            )

    def check_batch(self, batch_size: int, accumulation: int) -> None:
        """Raise UsageError if the samples of a step cannot be dealt out evenly."""
        parts = {"data ranks": self.data_ranks, "accumulation": accumulation}
        if self.pp > 1:
            parts["pp_microbatches"] = self.pp_microbatches
        needed = math.prod(parts.values())
        if batch_size % needed:
            raise UsageError(
                f"train.batch_size: {batch_size} is no multiple of {_product(parts)} = {needed}; "
                f"{-(-batch_size // needed) * needed} is the next that fits"
            )

    def check(self, config: TrainingConfig, shape: ModelConfig, sequence_length: int) -> None:
        """All checks of a run. Raises UsageError."""
        self.check_model(shape, sequence_length)
        self.check_batch(config.train.batch_size, config.train.accumulation)
        if config.train.cpu_offload and (self.world_size == 1 or self.only_replicas):
            raise UsageError(
                "train.cpu_offload: only sharded parameters can leave the device; "
                "set parallel.dp_shard above 1"
            )


def _product(factors: dict[str, int]) -> str:
    return " * ".join(f"{name} {value}" for name, value in factors.items())
