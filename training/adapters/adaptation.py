"""What a run trains in place of the model's own weights, from its configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.adapters.config import LoraConfig
from model.adapters.lora import QuantizedLoraLinear
from model.adapters.merged import Adapters, FreshAdapters
from model.adapters.peft_lora import read_lora
from model.adapters.record import ADAPTER, AdapterRecord, fingerprint
from model.adapters.targets import adapted_layers, adapters
from model.adapters.virtual import first_tokens, start_as, virtual_shapes
from model.config import ModelConfig
from model.pretrained import open_weights
from model.weights import Weights
from schemas.errors import InputError, UsageError
from training.adapters.budget import RankAllocator
from training.adapters.dropout import DropoutSeed
from training.checkpoint.folder import CheckpointRef
from training.config import TrainingConfig
from training.optim import WeightAverage
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel
from training.step import StepHook
from training.tokenizers import Tokenizer


@dataclass
class Adaptation:
    """The adapters of a run."""

    record: AdapterRecord
    tensor: Callable[[str], Tensor]
    """First values by name: of the frozen weights and of the adapters. Raises InputError."""
    allocator: RankAllocator | None = None
    dropout: DropoutSeed | None = None

    @classmethod
    def of(
        cls,
        config: TrainingConfig,
        dims: ParallelDims,
        shape: ModelConfig,
        start: Weights | None,
        found: CheckpointRef | None = None,
    ) -> Adaptation | None:
        """What the configuration asks for, None for a run that trains the whole model. `found`, the
        checkpoint that the run goes on from, brings all that is trained, and tells which of the
        base's checkpoints it belongs to.

        Raises UsageError for what does not go together, InputError for a `lora.start` that is
        damaged or of another model, and for a `found` of another one.
        """
        lora, prompt = config.lora, config.prompt_tuning
        if lora is None and prompt is None:
            return None
        if start is None or config.init is None:
            key = "lora" if lora is not None else "prompt_tuning"
            raise UsageError(f"{key}: needs weights to train beside; name their folder as init")
        check(config, dims)
        if found is None:
            base, mark = os.path.abspath(config.init), fingerprint(start)
        else:
            path = _record_of(found)
            recorded = AdapterRecord.read(path)
            base, mark = recorded.base, recorded.fingerprint
            start = recorded.open_base(path, open_weights)
        record = AdapterRecord(base=base, fingerprint=mark, lora=lora, prompt_tuning=prompt)
        if lora is None:
            assert prompt is not None
            return cls(record, _beside_zeros(start, virtual_shapes(shape, prompt)))
        layers = adapted_layers(shape, lora)
        started = _started(lora, start, layers) if found is None else None
        fresh = FreshAdapters(start, lora, config.seed, started)
        return cls(record, fresh.tensor)

    def begin(self, parallel: ParallelModel, tokenizer: Tokenizer, seed: int) -> None:
        """Set frozen weights and adapters of a model that is laid out. Raises InputError, and
        UsageError for a `prompt_tuning.init` without tokens."""
        parallel.load_state(self.tensor)
        lora, prompt = self.record.lora, self.record.prompt_tuning
        if prompt is not None:
            text = None if prompt.init is None else tokenizer.encode(prompt.init).tolist()
            tokens = first_tokens(prompt, text, tokenizer.vocab_size, seed)
            start_as(parallel.parts[0], tokens)
        if lora is not None and lora.budget is not None:
            self.allocator = RankAllocator(adapters(parallel.parts), lora.budget)
        if lora is not None and lora.dropout:
            self.dropout = DropoutSeed(seed, parallel.data_rank, parallel.context_rank)

    def follow(self, average: WeightAverage) -> None:
        """Keep a moving average of the adapters within the budget, too."""
        if self.allocator is not None:
            self.allocator.follow(average.state())

    @property
    def hooks(self) -> list[StepHook]:
        """What takes part in each step."""
        return [hook for hook in (self.allocator, self.dropout) if hook is not None]


def _record_of(found: CheckpointRef) -> Path:
    path = found.folder / ADAPTER
    if not path.exists():
        raise InputError(
            f"{found.folder}: has no {ADAPTER}: it holds a whole model; choose another output"
        )
    return path


def check(config: TrainingConfig, dims: ParallelDims) -> None:
    """Raises UsageError for keys that do not go with adapters."""
    if config.lora is not None and config.prompt_tuning is not None:
        raise UsageError("prompt_tuning: does not go with lora; choose one of them")
    for name in ("tp", "pp", "ep"):
        degree = getattr(dims, name)
        if degree > 1:
            raise UsageError(
                f"parallel.{name}: {degree}: adapters are trained with dp_replicate, dp_shard and "
                "cp alone; set it to 1"
            )
    lora = config.lora
    packing = getattr(getattr(config, "data", None), "packing", "none")
    if lora is None and packing != "none":
        raise UsageError(
            f"prompt_tuning: data.packing {packing} puts several documents into a row, but virtual "
            "tokens belong to one; set data.packing to none"
        )
    if lora is None:
        alone = "prompt_tuning"
    elif lora.quantize != "none":
        alone = "lora.quantize"
    elif lora.budget is not None:
        alone = "lora.budget"
    else:
        return
    if dims.world_size > dims.dp_replicate:
        raise UsageError(
            f"{alone}: every rank has to hold the whole model: set parallel.dp_shard to 1 and "
            "parallel.dp_replicate to the number of ranks"
        )
    budget = None if lora is None else lora.budget
    if budget is not None and budget.end > config.train.steps:
        raise UsageError(
            f"lora.budget.end: {budget.end} is after the last of {config.train.steps} train.steps, "
            "so target_rank would never be reached; set it to that or less"
        )


def _beside_zeros(base: Weights, virtual: Mapping[str, tuple[int, ...]]) -> Callable[[str], Tensor]:
    """The base's tensors, and zeros for virtual tokens until there is a model to start them."""
    return lambda name: torch.zeros(virtual[name]) if name in virtual else base.tensor(name)


def _started(lora: LoraConfig, base: Weights, layers: list[str]) -> Adapters | None:
    """The adapters of `lora.start`, which have to be of the configured kind."""
    if lora.start is None:
        return None
    keys, found = read_lora(Path(lora.start), base.config)
    for name, theirs in (("rank", "r"), ("alpha", "lora_alpha")):
        if keys.get(theirs) != getattr(lora, name):
            raise UsageError(
                f"lora.{name}: {getattr(lora, name):g}, but {lora.start} has {keys.get(theirs)}"
            )
    for name, theirs in (("rslora", "use_rslora"), ("dora", "use_dora")):
        has, wanted = bool(keys.get(theirs)), getattr(lora, name)
        # DoRA may start from plain LoRA: magnitudes are those of the sum.
        if has != wanted and not (name == "dora" and wanted):
            raise UsageError(f"lora.{name}: {wanted}, but {lora.start} has {has}")
    if keys.get("rank_pattern") or keys.get("alpha_pattern"):
        raise UsageError(f"lora.start: {lora.start} has a rank or alpha of its own for some layers")
    strays = [layer for layer in found if layer not in layers]
    if strays:
        raise UsageError(
            f"lora.targets: do not take in {strays[0]}, which {lora.start} has an adapter for"
        )
    return found


class Counts(NamedTuple):
    """Numbers in weights."""

    trained: int
    every: int
    """Trained and frozen; of 4-bit weights the numbers that they stand for."""


def trained_parameters(parts: Iterable[nn.Module]) -> Counts:
    """What the parts held here train, of what they hold."""
    trained = every = 0
    for part in parts:
        for parameter in part.parameters():
            trained += parameter.numel() if parameter.requires_grad else 0
            every += parameter.numel()
        for module in part.modules():
            if isinstance(module, QuantizedLoraLinear):
                every += module.shape.numel()
    return Counts(trained, every)
