"""Fixed batches of the validation split, by source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.data.batch import IGNORED, Batch, IntArray, Pieces, laid_out, lengths_between
from training.data.corpus import Corpus
from training.data.origin import read_sources
from training.data.shards import ShardReader

OTHER = "other"
"""Name of the sources that are not among the largest, together."""

_LARGEST = 8


class ValidationBatch(NamedTuple):
    """A batch, and how much text its targets stand for."""

    rows: Batch
    """[batch_size, T]; rows that a source does not fill are padding."""
    target_bytes: int
    """UTF-8 bytes of all targets: bits per byte are nats / ln 2 / bytes."""


class ValidationSource(NamedTuple):
    """The first documents of one source, in manifest order."""

    name: str
    batches: list[ValidationBatch]
    documents: int
    """Documents of this source in the split."""


class ValidationData(NamedTuple):
    """What a run is measured on, the same at each validation."""

    sources: list[ValidationSource]
    """Largest first, `other` last; empty where there is nothing to measure on."""
    notices: list[str]
    """What is missing, one line each."""


def validation_batches(
    corpus: Corpus,
    batch_size: int,
    batches: int,
    byte_lengths: npt.NDArray[np.integer] | None = None,
    *,
    split: str | None = None,
    largest: int = _LARGEST,
) -> ValidationData:
    """At most `batches` batches of `batch_size` samples for each source.

    Sources are the values of `source` in docs.parquet, with the name of its manifest in front in a
    mixture; beyond the `largest` by documents they are taken together. Documents follow each other
    in manifest order and are cut into samples as they come. A document of n tokens takes n - 1
    places, so every token but the first is a target, and none is lost at an edge. With
    `byte_lengths` [vocabulary], bytes of each token, batches know their bytes (else 0).

    A manifest without the split, or with no document of two tokens in it, gives a notice. Raises
    InputError when docs.parquet is missing or does not fit the shards.
    """
    split = corpus.data.validation_split if split is None else split
    groups: list[tuple[str, ShardReader, IntArray]] = []
    notices: list[str] = []
    for source in corpus.sources:
        reader = source.reader
        if split not in reader.splits or not reader.total_documents(split):
            known = ", ".join(reader.splits) or "none"
            notices.append(f"{reader.path} has no split {split!r} to validate on; it has: {known}")
            continue
        named = _by_source(reader, split)
        if len(corpus.sources) > 1:
            alone = len(named) == 1
            named = {
                source.name if alone else f"{source.name}/{name}": documents
                for name, documents in named.items()
            }
        groups += [(name, reader, documents) for name, documents in named.items()]
    groups.sort(key=lambda group: (-len(group[2]), group[0]))
    chosen = [(name, [(reader, documents)]) for name, reader, documents in groups[:largest]]
    if len(groups) > largest:
        chosen.append((OTHER, [group[1:] for group in groups[largest:]]))
    sources = []
    for name, parts in chosen:
        made = list(_batches(corpus, split, parts, batch_size, batches, byte_lengths))
        if made:
            count = sum(len(documents) for _, documents in parts)
            sources.append(ValidationSource(name, made, count))
        else:
            notices.append(f"split {split!r}: source {name} has no document of two tokens or more")
    return ValidationData(sources, notices)


def _by_source(reader: ShardReader, split: str) -> dict[str, IntArray]:
    """Documents of a split by source, each in manifest order."""
    names = read_sources(reader, split)
    codes, index = np.unique(names, return_inverse=True)
    return {str(name): np.flatnonzero(index == code) for code, name in enumerate(codes)}


def _batches(
    corpus: Corpus,
    split: str,
    parts: Sequence[tuple[ShardReader, IntArray]],
    batch_size: int,
    batches: int,
    byte_lengths: npt.NDArray[np.integer] | None,
) -> Iterator[ValidationBatch]:
    left = batches
    for reader, documents in parts:
        pieces = _stream(reader, split, documents, corpus.sequence_length, left * batch_size)
        rows = int(pieces.row[-1]) + 1 if len(pieces.row) else 0
        for start in range(0, rows, batch_size):
            low, high = np.searchsorted(pieces.row, [start, start + batch_size]).tolist()
            part = Pieces(*(column[low:high] for column in pieces))
            part = part._replace(row=part.row - start)
            tokens = reader.gather(split, part.document, part.first, part.length + 1)
            batch = laid_out(part, tokens, batch_size, corpus.sequence_length, corpus.eos_id)
            targets = batch.labels[batch.labels != IGNORED]
            size = 0 if byte_lengths is None else int(byte_lengths[targets].sum(dtype=np.int64))
            yield ValidationBatch(batch, size)
            left -= 1
        if left <= 0:
            return


def _stream(reader: ShardReader, split: str, documents: IntArray, length: int, rows: int) -> Pieces:
    """The documents one after another, cut at every `length` places; at most so many rows."""
    places = reader.lengths_tokens(split)[documents].astype(np.int64) - 1
    ends = np.cumsum(places)
    used = int(np.searchsorted(ends, rows * length)) + 1
    documents, places, ends = documents[:used], places[:used], ends[:used]
    total = min(int(ends[-1]), rows * length) if len(ends) else 0
    begins = ends - places
    cuts = np.union1d(begins[places > 0], np.arange(0, total, length))
    cuts = cuts[cuts < total]
    number = np.searchsorted(ends, cuts, side="right")
    return Pieces(
        cuts // length,
        cuts % length,
        documents[number],
        cuts - begins[number],
        lengths_between(cuts, total),
    )
