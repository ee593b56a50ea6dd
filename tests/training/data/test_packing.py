"""Samples of one manifest: what is a target, how often, and which tokens see each other."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InputError, UsageError
from tests.builders.token_shards import EOS, numbered_documents, write_shards
from training.data.batch import IGNORED, PADDING, Batch
from training.data.shards import ShardReader
from training.data.source import Source

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=25)


@contextmanager
def source(
    lengths: list[int], sequence_length: int, packing: str, mask: bool = True, seed: int = 1
) -> Iterator[tuple[Source, list[list[int]]]]:
    documents = numbered_documents(lengths)
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_shards(Path(folder), {"train": documents}, shard_documents=12)
        reader = ShardReader(manifest, verify=False)
        yield (
            Source(
                "m",
                reader,
                "train",
                sequence_length=sequence_length,
                packing=packing,
                document_mask=mask,
                seed=seed,
            ),
            documents,
        )


def transitions(documents: list[list[int]]) -> Counter[tuple[int, int]]:
    """All that there is to learn with a mask: each token of a document after the one before."""
    return Counter(pair for tokens in documents for pair in zip(tokens, tokens[1:], strict=False))


def targets(batch: Batch) -> Counter[tuple[int, int]]:
    places = batch.labels != IGNORED
    return Counter(zip(batch.tokens[places].tolist(), batch.labels[places].tolist(), strict=True))


def check_rows(batch: Batch, documents: list[list[int]]) -> None:
    """Every document of a row is a stretch of a real one, with positions from 0 on."""
    home = {token: number for number, tokens in enumerate(documents) for token in tokens[:-1]}
    assert batch.documents is not None
    for tokens, labels, positions, owners in zip(*batch, strict=True):
        assert owners[0] == 0
        held = int((owners != PADDING).sum())
        assert set(owners[held:]) <= {PADDING}, "padding stands at the end"
        assert set(tokens[held:]) <= {EOS}
        assert set(labels[held:]) <= {IGNORED}
        assert positions[held:].tolist() == list(range(len(owners) - held))
        owners = owners[:held]
        assert set(np.diff(owners)) <= {0, 1}
        for owner in range(owners[-1] + 1):
            here = np.flatnonzero(owners == owner)
            assert positions[here].tolist() == list(range(len(here)))
            shown, said = tokens[here].tolist(), labels[here].tolist()
            stretch = shown if said[-1] == IGNORED else [*shown, said[-1]]
            assert said[: len(stretch) - 1] == stretch[1:]
            if len(stretch) > 1:
                whole = documents[home[stretch[0]]]
                start = whole.index(stretch[0])
                assert whole[start : start + len(stretch)] == stretch


@given(LENGTHS, st.integers(2, 20), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_concatenated_epochs(lengths: list[int], length: int, epoch: int) -> None:
    total = sum(lengths)
    if total < length + 1:
        with (
            pytest.raises(InputError, match=f"has {total} tokens, one sample takes {length + 1}"),
            source(lengths, length, "concatenate"),
        ):
            pass
        return
    with source(lengths, length, "concatenate") as (found, documents):
        count = found.samples_per_epoch
        batch = found.rows(epoch * count, count)
        check_rows(batch, documents)
        left_out = total - 1 - count * length
        assert 0 <= left_out < length
        missing = transitions(documents) - targets(batch)
        assert not targets(batch) - transitions(documents)
        assert missing.total() <= left_out
        # The tokens shown are the stream: its last one and the tail are all that is not.
        shown = Counter(batch.tokens.ravel().tolist())
        every = Counter(token for tokens in documents for token in tokens)
        assert not shown - every
        assert (every - shown).total() == left_out + 1


@given(LENGTHS, st.integers(2, 20), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_best_fit_epochs(lengths: list[int], length: int, epoch: int) -> None:
    if max(lengths) < 2:
        with (
            pytest.raises(InputError, match="no document of two or more"),
            source(lengths, length, "best_fit"),
        ):
            pass
        return
    with source(lengths, length, "best_fit") as (found, documents):
        count = found.samples_per_epoch
        batch = found.rows(epoch * count, count)
        check_rows(batch, documents)
        assert targets(batch) == transitions(documents)
        held = np.count_nonzero(batch.labels != IGNORED)
        assert found.packing.utilisation == pytest.approx(held / batch.labels.size)
        cut = sum((n - 1) // length for n in lengths)
        stretches = np.count_nonzero((batch.positions == 0) & (batch.labels != IGNORED))
        rests = sum((n - 1) % length > 0 for n in lengths)
        assert stretches == cut + rests, "cut where longer than a sample, and nowhere else"


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
@given(LENGTHS, st.integers(2, 12), st.data())
@settings(max_examples=40, deadline=None)
def test_any_samples_at_any_time(
    packing: str, lengths: list[int], length: int, data: st.DataObject
) -> None:
    lengths = [*lengths, length + 1]
    with source(lengths, length, packing) as (found, _):
        start = data.draw(st.integers(0, 3 * found.samples_per_epoch))
        count = data.draw(st.integers(1, 2 * found.samples_per_epoch + 1))
        together = found.rows(start, count)
    with source(lengths, length, packing) as (found, _):
        for row in reversed(range(count)):
            alone = found.rows(start + row, 1)
            for column, columns in zip(alone, together, strict=True):
                assert column is not None
                assert columns is not None
                assert np.array_equal(column[0], columns[row])


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
@given(LENGTHS, st.integers(2, 12), st.data())
@settings(max_examples=40, deadline=None)
def test_pieces_say_where_tokens_come_from(
    packing: str, lengths: list[int], length: int, data: st.DataObject
) -> None:
    with source([*lengths, length + 1], length, packing) as (found, documents):
        k = data.draw(st.integers(0, 3 * found.samples_per_epoch))
        row = found.rows(k, 1)
        assert row.documents is not None
        told = np.full(length, EOS)
        pieces = found.pieces(k)
        for _, at, document, first, size in zip(*(c.tolist() for c in pieces), strict=True):
            told[at : at + size] = documents[document][first : first + size]
            assert len(set(row.documents[0, at : at + size].tolist())) == 1
        assert told.tolist() == row.tokens[0].tolist()
        assert int(pieces.length.sum()) == length or packing == "best_fit"
        assert len(pieces.at) == row.documents.max() + 1
        padding = row.documents[0] == PADDING
        assert padding.sum() == length - int(pieces.length.sum())


def test_epochs_and_seeds_and_names_have_orders_of_their_own() -> None:
    lengths = [5] * 40
    for packing in ("concatenate", "best_fit"):
        with source(lengths, 8, packing) as (found, _), source(lengths, 8, packing, seed=2) as two:
            count = found.samples_per_epoch
            first, second = found.rows(0, count), found.rows(count, count)
            assert first.tokens.tolist() != second.tokens.tolist()
            assert first.tokens.tolist() != two[0].rows(0, count).tokens.tolist()
            other = Source(
                "n",
                found.reader,
                "train",
                sequence_length=8,
                packing=packing,
                document_mask=True,
                seed=1,
            )
            assert first.tokens.tolist() != other.rows(0, count).tokens.tolist()
            assert first.tokens.tolist() == found.rows(0, count).tokens.tolist()


def test_the_end_of_a_document_is_a_target_and_says_nothing_of_the_next() -> None:
    with source([4, 4, 4], 11, "concatenate") as (found, documents):
        batch = found.rows(0, 1)
        tokens, labels = batch.tokens[0].tolist(), batch.labels[0].tolist()
        assert sorted(tokens) == sorted(t for d in documents for t in d)[1:]
        assert [labels[i] for i in (2, 6, 10)] == [EOS] * 3
        assert [labels[i] for i in (3, 7)] == [IGNORED] * 2


def test_without_a_mask_the_stream_is_one_document() -> None:
    with source([4, 4, 4, 4], 5, "concatenate", mask=False) as (found, documents):
        batch = found.rows(0, 3)
        assert batch.documents is None
        assert batch.positions.tolist() == [list(range(5))] * 3
        stream = [*batch.tokens.ravel().tolist(), int(batch.labels[-1, -1])]
        assert batch.labels.ravel().tolist() == stream[1:]
        assert sorted(tuple(stream[i : i + 4]) for i in (0, 4, 8, 12)) == sorted(
            map(tuple, documents)
        )
        with pytest.raises(UsageError, match=r"best_fit .* needs data.document_mask: true"):
            Source(
                "m",
                found.reader,
                "train",
                sequence_length=5,
                packing="best_fit",
                document_mask=False,
                seed=1,
            )


def test_many_blocks_of_documents() -> None:
    """Look-ups begin at every 64th document of the order."""
    lengths = np.random.default_rng(5).integers(1, 9, size=700).tolist()
    with source(lengths, 50, "concatenate") as (found, documents):
        count = found.samples_per_epoch
        batch = found.rows(count, count)
        assert not targets(batch) - transitions(documents)
        missing = transitions(documents) - targets(batch)
        assert missing.total() <= sum(lengths) - 1 - count * 50


def test_best_fit_shuffles_company_and_order() -> None:
    with source([5] * 40, 8, "best_fit") as (found, _):
        count = found.samples_per_epoch

        def company(epoch: int) -> set[frozenset[int]]:
            rows = found.rows(epoch * count, count).tokens.tolist()
            return {frozenset(row) for row in rows}

        assert company(0) != company(1), "other documents of a size share a row"
    # One document of each size, each alone in its row: only the order of rows is left to shuffle.
    with source(list(range(12, 22)), 20, "best_fit") as (found, _):
        count = found.samples_per_epoch
        first, second = found.rows(0, count).tokens, found.rows(count, count).tokens
        assert sorted(first.tolist()) == sorted(second.tolist())
        assert first.tolist() != second.tolist()
