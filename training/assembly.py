"""A pretraining run put together from its configuration, every check before the first step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from model.config import ModelConfig
from model.pretrained import open_weights
from model.weights import Weights
from schemas.errors import UsageError
from training.checkpoint import Checkpoints
from training.config import PretrainConfig, model_shape
from training.data.corpus import Corpus, open_corpus
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
from training.parallel.dims import ParallelDims
from training.parallel.model import ParallelModel
from training.run_folder import RunFolder
from training.tokenizers import Tokenizer, load_tokenizer, save_tokenizer
from training.world import World

STRETCHED = ("max_seq_len", "rope", "moe", "init_std")
"""Keys that may differ from the weights' own: none of them changes a tensor."""


@dataclass
class Assembly:
    """The parts of a run, and how far it is."""

    config: PretrainConfig
    world: World
    folder: RunFolder
    corpus: Corpus
    tokenizer: Tokenizer
    shape: ModelConfig
    parallel: ParallelModel
    optimizer: Optimizers
    average: WeightAverage | None
    guard: SpikeGuard
    checkpoints: Checkpoints
    notices: list[str]
    step: int = 0
    """Steps done."""
    tokens: int = 0
    """Targets trained on, over all ranks."""

    def state(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of a checkpoint; loading into them loads the run."""
        state = {"model": model_state(self.parallel.parts), "optimizer": self.optimizer.state()}
        if self.average is not None:
            state["ema"] = self.average.state()
        return state

    def save(self, *, asynchronous: bool) -> None:
        """Write a checkpoint of the steps done. Every rank calls it."""
        samples = self.step * self.config.train.batch_size
        record = {
            "step": self.step,
            "tokens": self.tokens,
            "data": self.corpus.state(samples).to_json(),
            "spikes": self.guard.state(),
        }
        self.checkpoints.save(
            self.step, self.state(), record, self.shape, asynchronous=asynchronous
        )

    def resume(self) -> None:
        """Go on from the newest checkpoint that is whole. Raises InputError for other data."""
        found = self.checkpoints.latest()
        if found is None:
            return
        self.checkpoints.load(found, self.state())
        record = found.record()
        self.corpus.check_state(DataState.from_json(record["data"]))
        self.guard.load(record["spikes"])
        self.step, self.tokens = int(record["step"]), int(record["tokens"])


def assemble(config: PretrainConfig, world: World, folder: RunFolder) -> Assembly:
    """Build everything; nothing is written to the folder before all of the configuration fits.

    Every rank calls it. Raises UsageError or InputError in one line.
    """
    check_schedule(config.schedule, config.train.steps)
    dims = ParallelDims.of(config.parallel, world.size)
    dims.check_batch(config.train.batch_size, config.train.accumulation)
    notices = folder.check(config, "pretrain") if world.is_first else []
    start = _starting_weights(config)
    corpus = _corpus(config, world)
    shape = _shape(config, corpus, start)
    dims.check(config, shape)
    corpus.check_vocabulary(shape.vocab_size)
    if world.is_first:
        folder.claim(config, "pretrain")
        save_tokenizer(corpus.tokenizer_file, folder.tokenizer)
    world.barrier()
    parallel = ParallelModel.build(shape, config, dims, world.device)
    if start is not None and not any(folder.checkpoints.glob("step-*")):
        parallel.load_state(start.tensor)
    named = list(named_parameters(parallel.parts))
    decay = config.optimizer.ema
    run = Assembly(
        config=config,
        world=world,
        folder=folder,
        corpus=corpus,
        tokenizer=load_tokenizer(folder.tokenizer),
        shape=shape,
        parallel=parallel,
        optimizer=build_optimizer(named, config.optimizer),
        average=None if decay is None else WeightAverage(parallel.parts, decay),
        guard=SpikeGuard(config.optimizer.spike_factor, config.optimizer.spike_window),
        checkpoints=Checkpoints(folder.checkpoints, config.checkpoint.keep, notices.append),
        notices=notices,
    )
    run.resume()
    return run


def _starting_weights(config: PretrainConfig) -> Weights | None:
    """The model of `init`, of which each rank reads one tensor at a time."""
    return None if config.init is None else open_weights(config.init)


def _corpus(config: PretrainConfig, world: World) -> Corpus:
    """The data; the first rank tokenizes and checks before the others look."""
    if config.data.text is not None and config.tokenizer is None:
        raise UsageError(
            "tokenizer: data.text needs one: byte, a SentencePiece model, or a tokenizer.json"
        )
    tokenizer = None if config.data.text is None else load_tokenizer(config.tokenizer or "")
    is_file = config.tokenizer not in (None, "byte")

    def opened() -> Corpus:
        return open_corpus(
            config.data,
            config.seed,
            config.output,
            tokenizer=tokenizer,
            tokenizer_file=config.tokenizer if is_file else None,
            samples=config.train.steps * config.train.batch_size,
            leader=world.is_first,
        )

    corpus = opened() if world.is_first else None
    world.barrier()
    return corpus or opened()


def _shape(config: PretrainConfig, corpus: Corpus, start: Weights | None) -> ModelConfig:
    """The model of the configuration, or that of `init`."""
    if start is None:
        if config.model is None:
            raise UsageError("model: missing: name a preset or a shape, or start from init")
        return config.shape(corpus.vocab_size)
    if config.model is not None:
        wanted = model_shape(config.model, start.config.vocab_size)
        for name in type(wanted).model_fields:
            has, asked = getattr(start.config, name), getattr(wanted, name)
            if has != asked and name not in STRETCHED:
                raise UsageError(
                    f"model.{name}: {asked!r}, but the weights of init ({config.init}) have {has!r}"
                )
        return wanted
    return start.config
