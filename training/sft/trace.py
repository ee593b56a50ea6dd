"""Which conversations a step of fine-tuning was made of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from training.sft.config import SftConfig
from training.sft.corpus import SftCorpus, open_encoded
from training.sft.rows import RowShape


class TracedConversation(NamedTuple):
    """A conversation in a sample."""

    task: str
    file: str
    record: int
    """In the file, from 1."""
    at: int
    """Its first place in the row."""
    tokens: int
    """As it was trained on, without what was trimmed."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `sample_tokens` are [first place, one past the last]: the last token is a
        label alone."""
        return {
            "task": self.task,
            "file": self.file,
            "record": self.record,
            "sample_tokens": [self.at, self.at + self.tokens - 1],
            "tokens": self.tokens,
        }


class TracedConversations(NamedTuple):
    """A sample of a step."""

    sample: int
    """Its number in the run."""
    conversations: list[TracedConversation]


def open_run(config: SftConfig, run: Path) -> SftCorpus:
    """The samples of a run by the tokens in its folder. Raises InputError."""
    return open_encoded(config, run / "data", RowShape(config.data.sequence_length), fill=0)


def trace_conversations(corpus: SftCorpus, samples: Iterable[int]) -> list[TracedConversations]:
    """The conversations of samples, in the order of their rows. Raises InputError."""
    return [TracedConversations(sample, _of(corpus, sample)) for sample in samples]


def _of(corpus: SftCorpus, sample: int) -> list[TracedConversation]:
    task, pieces = corpus.pieces(sample)
    held = corpus.tasks[task]
    return [
        TracedConversation(task, *held.origin(number), at, int(held.lengths[number]))
        for number, at in zip(pieces.document.tolist(), pieces.at.tolist(), strict=True)
    ]
