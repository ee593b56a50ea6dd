"""A training run put together from its configuration, every check before the first step."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from torch import Tensor

from model.config import ModelConfig
from model.pretrained import open_weights
from model.weights import Weights
from schemas.errors import InputError, UsageError
from training.adapters.adaptation import Adaptation
from training.checkpoint import Checkpoints
from training.checkpoint.folder import CheckpointRef
from training.checkpoint.together import Together
from training.config import TrainingConfig, model_shape
from training.data.state import DataState
from training.optim import (
    Optimizers,
    SpikeGuard,
    WeightAverage,
    build_optimizer,
    model_state,
    named_parameters,
)
from training.optim.schedule import check_schedule
from training.parallel.compiled import what_stays_uncompiled
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel
from training.run_folder import RunFolder
from training.stage import Stage, StageData
from training.tokenizers import Tokenizer
from training.world import World

STRETCHED = ("max_seq_len", "rope", "moe", "init_std")
"""Keys that may differ from the weights' own: none of them changes a tensor."""

FROM_ORIGINAL = ("dynamic", "yarn", "llama3")
"""Scalings that depend on the window of the weights, and not on their factor alone."""


@dataclass
class Assembly:
    """The parts of a run, and how far it is."""

    stage: Stage
    world: World
    together: Together
    folder: RunFolder
    data: StageData
    tokenizer: Tokenizer
    shape: ModelConfig
    parallel: ParallelModel
    optimizer: Optimizers
    average: WeightAverage | None
    guard: SpikeGuard
    checkpoints: Checkpoints
    notices: list[str]
    adaptation: Adaptation | None = None
    """None where the whole model is trained."""
    step: int = 0
    """Steps done."""
    tokens: int = 0
    """Targets trained on, over all ranks."""

    @property
    def config(self) -> TrainingConfig:
        """What all stages share of the configuration."""
        return self.stage.config

    def state(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of a checkpoint; loading into them loads the run."""
        state = {"model": model_state(self.parallel.parts), "optimizer": self.optimizer.state()}
        if self.average is not None:
            state["ema"] = self.average.state()
        if self.adaptation is not None and self.adaptation.allocator is not None:
            state["budget"] = self.adaptation.allocator.state()
        return state

    def save(self, *, asynchronous: bool) -> None:
        """Write a checkpoint of the steps done. Every rank calls it."""
        samples = self.step * self.config.train.batch_size
        record = {
            "step": self.step,
            "tokens": self.tokens,
            "data": self.data.state(samples).to_json(),
            "spikes": self.guard.state(),
        }
        self.checkpoints.save(
            self.step,
            self.state(),
            record,
            self.shape,
            asynchronous=asynchronous,
            adapters=None if self.adaptation is None else self.adaptation.record,
        )

    def resume(self, found: CheckpointRef) -> None:
        """Go on from a checkpoint. Raises InputError for other data or another model."""
        self.checkpoints.load(found, self.state())
        record = found.record()
        self.data.check_state(DataState.from_json(record["data"]))
        self.guard.load(record["spikes"])
        self.step, self.tokens = int(record["step"]), int(record["tokens"])


def assemble(stage: Stage, world: World, folder: RunFolder, stack: ExitStack) -> Assembly:
    """Build everything, and go on where the folder's run was.

    Nothing is written before all of the configuration fits, and config.yaml not before the state
    that it belongs to is loaded. The folder stays locked until `stack` is closed. Every rank calls
    it, and what the first one finds wrong is raised on all. Raises UsageError, InputError or
    OutputError in one line.
    """
    config = stage.config
    dims, shape, start = _checked(stage, world)
    together = Together()
    notices = together.on_first(lambda: folder.check(config, stage.name))
    notices += what_stays_uncompiled(shape, config)
    together.on_first(lambda: stack.enter_context(folder.locked()))
    opened = stage.open(together, shape)
    opened.data.check_vocabulary(shape.vocab_size)
    checkpoint = config.checkpoint
    checkpoints = Checkpoints(
        folder.checkpoints, checkpoint.keep, notices.append, checkpoint.verify
    )
    found = checkpoints.latest()
    adaptation = Adaptation.of(config, dims, shape, start, found)
    parallel = ParallelModel.build(shape, config, dims, world.device)
    if adaptation is not None:
        # A checkpoint holds the adapters alone.
        adaptation.begin(parallel, opened.tokenizer, config.seed)
    elif start is not None and found is None:
        parallel.load_state(start.tensor)
    decay = config.optimizer.ema
    average = None if decay is None else WeightAverage(parallel.parts, decay)
    if adaptation is not None and average is not None:
        adaptation.follow(average)
    run = Assembly(
        stage=stage,
        world=world,
        together=together,
        folder=folder,
        data=opened.data,
        tokenizer=opened.tokenizer,
        shape=shape,
        parallel=parallel,
        optimizer=build_optimizer(named_parameters(parallel.parts), config.optimizer),
        average=average,
        guard=SpikeGuard(config.optimizer.spike_factor, config.optimizer.spike_window),
        checkpoints=checkpoints,
        notices=notices,
        adaptation=adaptation,
    )
    if found is not None:
        run.resume(found)
    together.on_first(lambda: _claim(run))
    return run


def _checked(stage: Stage, world: World) -> tuple[ParallelDims, ModelConfig, Weights | None]:
    """All that can be said of a configuration from itself and the heads of files."""
    config = stage.config
    check_schedule(config.schedule, config.train.steps)
    dims = ParallelDims.of(config.parallel, world.size)
    dims.check_batch(config.train.batch_size, config.train.accumulation)
    start = None if config.init is None else open_weights(config.init)
    vocabulary = stage.vocabulary()
    shape = _shape(config, vocabulary.size, start)
    dims.check(config, shape, stage.sequence_length)
    _check_length(stage, shape)
    if shape.vocab_size < vocabulary.size:
        raise InputError(
            f"model.vocab_size: {shape.vocab_size}, but {vocabulary.origin} has {vocabulary.size} "
            "pieces; set it to that or more, or leave it out"
        )
    return dims, shape, start


def _check_length(stage: Stage, shape: ModelConfig) -> None:
    virtual = stage.config.prompt_tuning
    taken = 0 if virtual is None else virtual.tokens
    if stage.sequence_length + taken > shape.max_seq_len:
        beside = f" and {taken} virtual tokens" if taken else ""
        raise UsageError(
            f"data.sequence_length: {stage.sequence_length}{beside} exceed the model's max_seq_len "
            f"of {shape.max_seq_len}; lower it, or set model.max_seq_len (docs/evaluation.md, "
            "longer contexts)"
        )


def _claim(run: Assembly) -> None:
    run.folder.claim(run.config, run.stage.name)
    run.stage.keep(run.folder)


def _shape(config: TrainingConfig, vocab_size: int, start: Weights | None) -> ModelConfig:
    """The model of the configuration, or that of `init`."""
    if start is None:
        if config.model is None:
            raise UsageError("model: missing: name a preset or a shape, or start from init")
        return config.shape(vocab_size)
    if config.model is not None:
        wanted = model_shape(config.model, start.config.vocab_size)
        for name in type(wanted).model_fields:
            has, asked = getattr(start.config, name), getattr(wanted, name)
            if has != asked and name not in STRETCHED:
                raise UsageError(
                    f"model.{name}: {asked!r}, but the weights of init ({config.init}) have {has!r}"
                )
        _check_stretch(wanted, start.config, config.init)
        return wanted
    return start.config


def _check_stretch(wanted: ModelConfig, before: ModelConfig, init: str | None) -> None:
    """By default a scaling would start from the new window."""
    rope = wanted.rope
    if wanted.position != "rope" or rope.scaling not in FROM_ORIGINAL:
        return
    if rope.original_len is None and wanted.max_seq_len != before.max_seq_len:
        window = before.rope.original_len or before.max_seq_len
        raise UsageError(
            f"model.rope.original_len: missing: {rope.scaling} stretches the window that the "
            f"weights of init ({init}) were trained with: set it to {window}"
        )
