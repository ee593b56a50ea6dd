"""The samples of a run by number: one manifest or a mixture of them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas.errors import InputError, UsageError
from schemas.shards import MANIFEST_NAME
from training.config import Data
from training.data.batch import Batch
from training.data.mixture import Interleaving
from training.data.shards import ShardReader
from training.data.source import Source
from training.data.state import DataState, Parts, check_same_data, fingerprint_of

if TYPE_CHECKING:
    from training.data.text import Encoder

TEXT_FOLDER = "data"
"""In the folder of a run: the shards of `data.text`."""


class SampleDocument(NamedTuple):
    """A stretch of a document in a sample."""

    source: str
    document: int
    """Number in the split."""
    first: int
    """Place of its first token in the document."""
    at: int
    """Place of that token in the sample."""
    length: int
    """Tokens that the model is shown."""


class Corpus:
    """Samples 0, 1, 2, ... of a run.

    Sample k depends on the manifests, the `data` section and the seed, never on ranks, batch size
    or what was read before. Reading is safe from one thread at a time.
    """

    def __init__(
        self, sources: Sequence[Source], weights: Sequence[float], seed: int, data: Data
    ) -> None:
        """Raises InputError when the sources do not have the same tokenizer."""
        self.sources = tuple(sources)
        self.weights = tuple(weights)
        self.seed = seed
        self.data = data
        self.sequence_length = data.sequence_length
        _check_same_tokenizer(self.sources)
        self._turns = Interleaving(self.weights)
        total = sum(Fraction(str(weight)) for weight in self.weights)
        self.parts: Parts = {
            "sequence_length": data.sequence_length,
            "packing": data.packing,
            "document_mask": data.document_mask,
            "split": data.split,
            "sources": {
                source.name: {
                    "manifest": source.reader.manifest.fingerprint,
                    "share": str(Fraction(str(weight)) / total),
                }
                for source, weight in zip(sources, weights, strict=True)
            },
        }
        """What the fingerprint covers."""
        self.fingerprint = fingerprint_of(self.parts)

    @property
    def vocab_size(self) -> int:
        """Every token is smaller."""
        return self.sources[0].reader.manifest.vocab_size

    @property
    def eos_id(self) -> int:
        """Last token of each document."""
        return self.sources[0].reader.manifest.eos_id

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer that made the tokens."""
        reader = self.sources[0].reader
        return reader.path.parent / reader.manifest.tokenizer.file

    @property
    def tokens_per_epoch(self) -> int:
        """Tokens of all sources."""
        return sum(source.packing.tokens_per_epoch for source in self.sources)

    @property
    def samples_per_epoch(self) -> int:
        """Samples of all sources, each once."""
        return sum(source.samples_per_epoch for source in self.sources)

    @property
    def utilisation(self) -> float:
        """Share of places that hold a token of a document, over a pass of every source."""
        held = (source.samples_per_epoch * source.packing.utilisation for source in self.sources)
        return sum(held) / self.samples_per_epoch

    def sample(self, k: int) -> Batch:
        """Sample k as a batch of one row."""
        return self.samples(k, 1)

    def samples(self, start: int, count: int) -> Batch:
        """Samples `start` to `start` + `count` - 1 as [count, T]."""
        if len(self.sources) == 1:
            return self.sources[0].rows(start, count)
        turns = [self._turns.turn(k) for k in range(start, start + count)]
        shape = count, self.sequence_length
        tokens, labels = np.empty((2, *shape), dtype=np.int64)
        positions, documents = np.empty((2, *shape), dtype=np.int32)
        for number, source in enumerate(self.sources):
            rows = [row for row, turn in enumerate(turns) if turn.source == number]
            if rows:
                # What a source gives to consecutive samples is consecutive in it.
                part = source.rows(turns[rows[0]].sample, len(rows))
                tokens[rows], labels[rows], positions[rows] = part[:3]
                if part.documents is not None:
                    documents[rows] = part.documents
        return Batch(tokens, labels, positions, documents if self.data.document_mask else None)

    def documents_of(self, k: int) -> list[SampleDocument]:
        """The documents of sample k, in their order in it."""
        turn = self._turns.turn(k)
        source = self.sources[turn.source]
        pieces = source.pieces(turn.sample)
        columns = (pieces.document, pieces.first, pieces.at, pieces.length)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [SampleDocument(source.name, *row) for row in rows]

    def epochs(self, samples: int) -> dict[str, float]:
        """How often each source was passed through after so many samples."""
        counts = self._turns.counts(samples)
        return {
            source.name: count / source.samples_per_epoch
            for source, count in zip(self.sources, counts, strict=True)
        }

    def check_epochs(self, samples: int) -> None:
        """Raises UsageError when so many samples repeat a source beyond its `epochs_max`."""
        for name, epochs in self.epochs(samples).items():
            limit = self.data.mixture[name].epochs_max if self.data.mixture else None
            if limit is not None and epochs > limit:
                raise UsageError(
                    f"data.mixture.{name}: {samples} samples (train.steps x train.batch_size) pass "
                    f"through it {epochs:.2f} times, epochs_max is {limit:g}; lower its weight or "
                    "train.steps, or raise epochs_max"
                )

    def describe(self, batch_size: int) -> str:
        """Tokens of an epoch and of a step, for people."""
        step = batch_size * self.sequence_length
        return f"{self.tokens_per_epoch:,} tokens an epoch, {step:,} a step"

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raises InputError when a model of `vocab_size` rows does not hold every token."""
        if vocab_size < self.vocab_size:
            raise InputError(
                f"{self.sources[0].reader.path}: its tokenizer has {self.vocab_size} pieces, the "
                f"model a vocab_size of {vocab_size}; set model.vocab_size to {self.vocab_size} or "
                "more, or take the tokens of the model's own tokenizer"
            )

    def state(self, samples: int) -> DataState:
        """What a checkpoint keeps after so many samples."""
        epoch = samples // self.samples_per_epoch
        return DataState(self.fingerprint, self.seed, epoch, samples, self.parts)

    def check_state(self, state: DataState) -> None:
        """Raises InputError that says what changed, when `state` comes from other data."""
        check_same_data(state, self.parts, self.seed)


def open_corpus(
    data: Data,
    seed: int,
    output: str | Path,
    *,
    tokenizer: Encoder | None = None,
    tokenizer_file: str | Path | None = None,
    samples: int | None = None,
    leader: bool = True,
) -> Corpus:
    """The corpus that a `data` section describes.

    `output` is the folder of the run: `data.text` is tokenized into output/data with `tokenizer`,
    which `tokenizer_file` holds (None: one that has no file, as for bytes); manifests bring their
    own. With `samples`, all that the run takes, `epochs_max` is checked. Several processes on one
    file system: the `leader` opens first; the others then read neither text nor checksums.

    Raises UsageError for a wrong section or split, InputError for a manifest that is missing or
    whose shards changed, for tokenizers that differ, and for too few tokens.
    """
    if data.text is not None:
        folder = Path(output) / TEXT_FOLDER
        if leader:
            # Here and not above: who only reads shards needs no Arrow.
            from training.data.text import write_text_shards

            if tokenizer is None:
                raise UsageError("data.text needs a tokenizer: a model file, or the word byte")
            write_text_shards(
                data.text,
                folder,
                tokenizer,
                tokenizer_file,
                validation_fraction=data.validation_fraction,
            )
        manifests = {"text": (str(folder / MANIFEST_NAME), 1.0)}
    elif data.mixture is not None:
        if not data.mixture:
            raise UsageError("data.mixture names no source")
        manifests = {
            # By name: the order of the file does not enter the order of samples.
            name: (data.mixture[name].manifest, data.mixture[name].weight)
            for name in sorted(data.mixture)
        }
    else:
        assert data.manifest is not None
        manifests = {"manifest": (data.manifest, 1.0)}
    verify = leader and data.verify == "checksums"
    readers = {name: ShardReader(path, verify=verify) for name, (path, _) in manifests.items()}
    sources = [
        Source(
            name,
            reader,
            data.split,
            sequence_length=data.sequence_length,
            packing=data.packing,
            document_mask=data.document_mask,
            seed=seed,
        )
        for name, reader in readers.items()
    ]
    corpus = Corpus(sources, [weight for _, weight in manifests.values()], seed, data)
    if samples is not None:
        corpus.check_epochs(samples)
    return corpus


def _check_same_tokenizer(sources: Sequence[Source]) -> None:
    first = sources[0].reader
    for other in sources[1:]:
        one, two = first.manifest, other.reader.manifest
        if one.tokenizer.sha256 != two.tokenizer.sha256:
            raise InputError(
                f"{first.path} and {other.reader.path} were made with different tokenizers "
                f"(sha256 {one.tokenizer.sha256[:12]} and {two.tokenizer.sha256[:12]}); a mixture "
                "needs one tokenizer"
            )
        if (one.vocab_size, one.eos_id) != (two.vocab_size, two.eos_id):
            raise InputError(
                f"{first.path} has {one.vocab_size} pieces and EOS {one.eos_id}, "
                f"{other.reader.path} has {two.vocab_size} and {two.eos_id}; "
                "a mixture needs one vocabulary"
            )
