"""What tells one kind of training from another. The trainer knows these protocols alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from model.config import ModelConfig
from training.config import TrainingConfig
from training.data.batch import Batch
from training.data.state import DataState
from training.tokenizers import Tokenizer

if TYPE_CHECKING:
    from training.assembly import Assembly
    from training.checkpoint.together import Together
    from training.run_folder import RunFolder
    from training.step import StepHook


class StageData(Protocol):
    """The samples of a run by number: sample k depends on the data, the configuration and the seed,
    never on ranks or on what was read before. A `Corpus` is one."""

    fingerprint: str

    def samples(self, start: int, count: int) -> Batch:
        """Samples `start` to `start` + `count` - 1."""

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raises InputError when a model of `vocab_size` rows does not hold every token."""

    def state(self, samples: int) -> DataState:
        """What a checkpoint keeps after so many samples."""

    def check_state(self, state: DataState) -> None:
        """Raises InputError that says what changed, when `state` comes from other data."""

    def describe(self, batch_size: int) -> str:
        """How much there is, for people."""


class Opened(NamedTuple):
    """The data of a stage, and the tokenizer that made its tokens."""

    data: StageData
    tokenizer: Tokenizer


class Vocabulary(NamedTuple):
    """How many tokens there are."""

    size: int
    origin: str
    """Where they come from, for messages."""


class Look(Protocol):
    """What a run stops for: validation, samples, answers."""

    every: int
    """Steps; each look is also taken after the last step."""

    def __call__(self, number: int) -> dict[str, Any]:
        """Look at the model after step `number`: figures of the step. Every rank calls it. Lines
        for people go into the notices of the run."""


class Stage(Protocol):
    """A kind of training with its configuration."""

    @property
    def name(self) -> str:
        """As the command has it: pretrain, sft, ..."""

    @property
    def config(self) -> TrainingConfig:
        """What all kinds share of it."""

    @property
    def sequence_length(self) -> int:
        """Places of the longest sample."""

    @property
    def prefetch(self) -> int:
        """Steps whose batches are made ahead."""

    def vocabulary(self) -> Vocabulary:
        """From the heads of files. Raises UsageError or InputError."""

    def open(self, together: Together, shape: ModelConfig) -> Opened:
        """The data, checked, for a model of this shape. Every rank calls it; the first one prepares
        what others read."""

    def keep(self, folder: RunFolder) -> None:
        """Put what generation needs beside the weights, into RUN/tokenizer: the first rank's
        work."""

    def looks(self, run: Assembly) -> Sequence[Look]:
        """What to stop for. Every rank calls it, with the weights in place."""

    def where_to_look(self, step: int) -> str:
        """What to look at when a step went wrong: the end of a sentence for people."""

    def hooks(self, run: Assembly) -> Sequence[StepHook]:
        """What takes part in each step."""


StageCheck = Callable[[Any, str], TrainingConfig]
"""(tree, origin) -> a checked configuration. Raises UsageError that names the key."""
