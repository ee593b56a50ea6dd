"""The configuration of a training run: one YAML file, one checked tree. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from model.adapters.config import LoraConfig, PromptTuning
from model.config import ModelConfig, Section
from model.presets import PRESETS
from schemas.checked import checked
from schemas.errors import InputError, UsageError
from schemas.yaml_text import parse_mapping
from training.assignments import assign

Degree = Annotated[int, Field(ge=1)]


class MixtureSource(Section):
    manifest: str
    weight: float = Field(gt=0)
    """Share of the samples, relative to the other sources."""
    epochs_max: float | None = Field(None, gt=0)
    """How often the source may be repeated before the run is refused."""


class Data(Section):
    """Where tokens come from: one manifest, a mixture of some, or text files."""

    manifest: str | None = None
    mixture: dict[str, MixtureSource] | None = None
    text: list[str] | None = None
    """JSONL files (.gz too) with a `text` field, tokenized into the run's folder at the start."""
    validation_fraction: float = Field(0.05, gt=0, lt=1)
    """Of `text`: documents set aside for validation, by hash."""
    sequence_length: int = Field(1024, ge=2)
    packing: Literal["concatenate", "best_fit"] = "concatenate"
    document_mask: bool = True
    """Tokens see their own document only."""
    split: str = "train"
    validation_split: str = "validation"
    verify: Literal["structure", "checksums"] = "checksums"
    prefetch: int = Field(4, ge=0)
    """Batches made ahead of the training step."""

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        given = [n for n in ("manifest", "mixture", "text") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of manifest, mixture, text")
        return self


class Optimizer(Section):
    name: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(3e-4, gt=0)
    """Of AdamW; with muon of the embeddings, the head, norms and biases."""
    muon_lr: float | None = Field(None, gt=0)
    """Of the matrices; default: lr, scaled to AdamW's update size (arXiv 2502.16982)."""
    weight_decay: float = Field(0.1, ge=0)
    """On matrices alone."""
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.95, ge=0, lt=1)
    eps: float = Field(1e-8, gt=0)
    momentum: float = Field(0.95, ge=0, lt=1)
    """Muon's."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Largest norm of all gradients together; null: no clipping."""
    spike_factor: float | None = Field(None, gt=1)
    """Skip a step whose loss or gradient norm lies this many standard deviations above the mean of
    the last `spike_window` steps."""
    spike_window: int = Field(128, ge=8)
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights."""


class Schedule(Section):
    name: Literal["wsd", "cosine", "linear", "constant"] = "wsd"
    warmup_steps: int = Field(0, ge=0)
    decay_steps: int | None = Field(None, ge=1)
    """WSD: steps of the decay at the end; default: a fifth of all."""
    final: float = Field(0.0, ge=0, le=1)
    """Learning rate at the end, as a share of the highest."""


class Train(Section):
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    """Sequences a step, over all ranks."""
    accumulation: int = Field(1, ge=1)
    """Parts in which each rank takes its sequences of a step."""
    z_loss: float = Field(0.0, ge=0)
    log_every: int = Field(10, ge=1)
    compile: bool = False
    activation_checkpointing: Literal["none", "selective", "full"] = "none"
    cpu_offload: bool = False
    """Parameters, gradients and optimizer state stay in host memory (needs dp_shard)."""
    peak_flops: float | None = Field(None, gt=0)
    """Of one device, for the MFU; default: by the name of the GPU, measured for a CPU."""
    nan_patience: int = Field(0, ge=0)
    """Steps with a loss that is no number to skip before the run stops."""


class Parallel(Section):
    dp_replicate: Degree = 1
    dp_shard: int = -1
    """-1: all devices that the others leave."""
    tp: Degree = 1
    pp: Degree = 1
    cp: Degree = 1
    ep: Degree = 1
    """Experts over ranks that also hold other data: divides dp_shard * cp."""
    pp_microbatches: int | None = Field(None, ge=1)
    """Default: twice pp."""
    pp_parts: Degree = 1
    """Stages a rank of pp; above 1 their schedule is interleaved."""

    @model_validator(mode="after")
    def _shard(self) -> Parallel:
        if self.dp_shard < 1 and self.dp_shard != -1:
            raise ValueError("dp_shard: a whole number from 1 on, or -1 for what is left")
        return self


class Checkpoint(Section):
    every: int = Field(500, ge=1)
    keep: int = Field(2, ge=1)
    asynchronous: bool = True
    verify: Literal["checksums", "sizes"] = "checksums"
    """How closely a checkpoint is looked at before the run goes on from it."""


class Validation(Section):
    every: int = Field(500, ge=1)
    batches: int = Field(16, ge=1)
    """Batches of batch_size a source, the same ones each time."""
    sources: int = Field(8, ge=1)
    """The largest sources are measured each for itself, the others together."""


class Samples(Section):
    """Text generated as the model trains."""

    every: int = Field(ge=1)
    prompts: tuple[str, ...] = ("",)
    max_new_tokens: int = Field(64, ge=1)
    temperature: float = Field(0.8, ge=0)


class TrainingConfig(Section):
    """What every stage of training has."""

    output: str
    seed: int = Field(1, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; weights and optimizer state are float32."""
    init: str | None = None
    tokenizer: str | None = None
    model: dict[str, Any] | None = None
    """A preset with changes, or the keys of a shape; taken from `init` where that is given."""
    train: Train
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    parallel: Parallel = Parallel()
    checkpoint: Checkpoint = Checkpoint()
    lora: LoraConfig | None = None
    prompt_tuning: PromptTuning | None = None
    validation: Validation = Validation()

    def shape(self, vocab_size: int) -> ModelConfig:
        """The model, with the tokenizer's vocabulary where the configuration names none.

        Raises UsageError that names the key.
        """
        return model_shape(self.model or {}, vocab_size)


class PretrainConfig(TrainingConfig):
    """`corpusmill pretrain CONFIG.yaml`."""

    data: Data
    samples: Samples | None = None


def model_shape(keys: dict[str, Any], vocab_size: int) -> ModelConfig:
    """The shape that a `model:` section describes. Raises UsageError that names the key."""
    keys = dict(keys)
    name = keys.pop("preset", None)
    if name is not None:
        if name not in PRESETS:
            raise UsageError(f"model.preset: {name!r} is none of {', '.join(PRESETS)}")
        keys = {**PRESETS[name], **keys}
    return checked(ModelConfig, {"vocab_size": vocab_size, **keys}, "model")


def read_pretrain(path: str | Path, overrides: Sequence[str] = ()) -> PretrainConfig:
    """A configuration from its file, with `a.b=value` changes.

    Raises UsageError that names the key and the allowed ones, InputError without the file.
    """
    return check_pretrain(read_tree(path, overrides), str(path))


def check_pretrain(tree: Mapping[str, Any], origin: str) -> PretrainConfig:
    """The tree as a configuration. Raises UsageError that names the key."""
    config = checked(PretrainConfig, tree, origin)
    check_model(config)
    return config


def check_model(config: TrainingConfig) -> None:
    """Raises UsageError that names a key of `model` that is wrong."""
    if config.model is not None:
        config.shape(2)


def read_tree(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The keys of a configuration file, with `a.b=value` changes, not yet checked.

    Raises InputError without the file, UsageError for what is no YAML.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    tree = parse_mapping(text, str(path))
    for assignment in overrides:
        assign(tree, assignment, "--set")
    return tree
