"""Which documents a training step was made of, and where they were crawled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.errors import UsageError
from training.data.corpus import Corpus, SampleDocument
from training.data.loader import check_batch
from training.data.origin import Origin


class TracedDocument(NamedTuple):
    """A stretch of a document in a sample, and its origin."""

    place: SampleDocument
    origin: Origin

    def to_json(self) -> dict[str, Any]:
        """As JSON values; ranges of tokens are [first, one past the last]."""
        place = self.place
        return {
            "dataset": place.source,
            "document_tokens": [place.first, place.first + place.length],
            "sample_tokens": [place.at, place.at + place.length],
            **self.origin._asdict(),
        }


class TracedSample(NamedTuple):
    """A sample of a step."""

    sample: int
    """Its number in the run."""
    documents: list[TracedDocument]


def step_samples(
    step: int, batch_size: int, rank: int | None = None, ranks: int | None = None
) -> range:
    """Samples of a step, counted from 1 as in metrics.jsonl; with both, those of one rank of so
    many data-parallel ones. Raises UsageError for numbers that do not fit."""
    if step < 1:
        raise UsageError(f"steps are counted from 1, not {step}")
    start, size = (step - 1) * batch_size, batch_size
    if (rank is None) != (ranks is None):
        raise UsageError("give --rank and --ranks together: the rank, and how many hold other rows")
    if rank is not None and ranks is not None:
        check_batch(batch_size, ranks, 1)
        if not 0 <= rank < ranks:
            raise UsageError(f"--rank {rank} is none of 0 to {ranks - 1}")
        size = batch_size // ranks
        start += rank * size
    return range(start, start + size)


def trace_samples(corpus: Corpus, samples: Iterable[int]) -> list[TracedSample]:
    """The documents of samples with their origins: one read of docs.parquet for each shard that
    is met. Raises InputError when docs.parquet is missing or lacks one of them."""
    placed = [(sample, corpus.documents_of(sample)) for sample in samples]
    wanted: dict[str, set[int]] = {}
    for _, places in placed:
        for place in places:
            wanted.setdefault(place.source, set()).add(place.document)
    origins: dict[tuple[str, int], Origin] = {}
    for source in corpus.sources:
        documents = sorted(wanted.get(source.name, ()))
        found = source.reader.trace_all(source.split, documents)
        keys = [(source.name, document) for document in documents]
        origins.update(zip(keys, found, strict=True))
    return [
        TracedSample(
            sample,
            [TracedDocument(place, origins[place.source, place.document]) for place in places],
        )
        for sample, places in placed
    ]
