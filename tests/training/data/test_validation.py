"""Batches of the validation split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InputError
from tests.builders.token_shards import EOS, VOCABULARY, numbered_documents, write_shards
from training.config import Data
from training.data.batch import IGNORED, Batch
from training.data.corpus import Corpus, open_corpus
from training.data.validation import ValidationData, validation_batches

TRAIN = numbered_documents([9, 9, 9])


def corpus_of(
    folder: Path, documents: list[list[int]], sources: list[str] | None = None, length: int = 8
) -> Corpus:
    manifest = write_shards(
        folder,
        {"train": TRAIN, "validation": documents},
        shard_documents=1000 if sources is None else 3,
        sources={"train": ["a"] * 3, "validation": sources} if sources else None,
    )
    data = Data(manifest=str(manifest), sequence_length=length)
    return open_corpus(data, 1, folder)


def pairs(batches: list[Batch]) -> Counter[tuple[int, int]]:
    found: Counter[tuple[int, int]] = Counter()
    for batch in batches:
        places = batch.labels != IGNORED
        found.update(zip(batch.tokens[places].tolist(), batch.labels[places].tolist(), strict=True))
    return found


@given(st.lists(st.integers(1, 30), min_size=1, max_size=15), st.integers(2, 10))
@settings(max_examples=30, deadline=None)
def test_every_token_but_the_first_is_a_target_once(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], length: int
) -> None:
    documents = numbered_documents(lengths)
    corpus = corpus_of(tmp_path_factory.mktemp("v"), documents, length=length)
    sizes = np.arange(VOCABULARY)
    data = validation_batches(corpus, 2, 1000, sizes)
    every = Counter(pair for d in documents for pair in zip(d, d[1:], strict=False))
    if not every:
        assert data.sources == []
        assert "source warc has no document of two tokens or more" in data.notices[0]
        return
    (source,) = data.sources
    batches = [batch.rows for batch in source.batches]
    assert {batch.tokens.shape for batch in batches} == {(2, length)}
    assert pairs(batches) == every
    assert source.documents == len(lengths)
    for batch in source.batches:
        said = batch.rows.labels[batch.rows.labels != IGNORED]
        assert batch.target_bytes == sizes[said].sum()
        assert batch.rows.documents is not None
        assert (batch.rows.labels[batch.rows.documents < 0] == IGNORED).all()
        assert (batch.rows.labels[batch.rows.documents >= 0] != IGNORED).all()
        changes = np.diff(batch.rows.documents, axis=1)
        assert (batch.rows.positions[:, 1:][changes != 0] == 0).all()
        assert (np.diff(batch.rows.positions, axis=1)[changes == 0] == 1).all()
    # The same documents from the first on, however many batches are asked for.
    for count in range(1, len(batches) + 1):
        (fewer,) = validation_batches(corpus, 2, count, sizes).sources
        assert len(fewer.batches) == count
        assert all(
            np.array_equal(a.rows.labels, b.rows.labels)
            for a, b in zip(fewer.batches, source.batches, strict=False)
        )


def said(data: ValidationData) -> dict[str, set[int]]:
    return {
        source.name: {
            int(label)
            for batch in source.batches
            for label in batch.rows.labels.ravel()
            if label not in (IGNORED, EOS)
        }
        for source in data.sources
    }


def test_each_source_has_its_own_documents(tmp_path: Path) -> None:
    documents = numbered_documents([4] * 10)
    names = ["b", "a", "b", "c", "b", "d", "a", "b", "c", "a"]
    corpus = corpus_of(tmp_path, documents, names)
    expected = {
        name: {t for d, of in zip(documents, names, strict=True) if of == name for t in d[1:-1]}
        for name in "abcd"
    }
    assert said(validation_batches(corpus, 2, 9)) == expected
    few = validation_batches(corpus, 2, 9, largest=2)
    assert [(source.name, source.documents) for source in few.sources] == [
        ("b", 4),
        ("a", 3),
        ("other", 3),
    ]
    assert said(few) == {
        "b": expected["b"],
        "a": expected["a"],
        "other": expected["c"] | expected["d"],
    }


def test_sources_of_a_mixture_are_told_apart(tmp_path: Path) -> None:
    parts = {
        "one": corpus_of(tmp_path / "one", numbered_documents([4] * 3), ["a"] * 3),
        "two": corpus_of(tmp_path / "two", numbered_documents([4] * 3), ["a", "b", "b"]),
    }
    mixture = {
        name: {"manifest": str(corpus.sources[0].reader.path), "weight": 1}
        for name, corpus in parts.items()
    }
    data = Data.model_validate({"mixture": mixture, "sequence_length": 8})
    corpus = open_corpus(data, 1, tmp_path)
    found = validation_batches(corpus, 2, 4)
    assert [source.name for source in found.sources] == ["one", "two/b", "two/a"]


def test_no_split_is_a_notice(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, {"train": TRAIN})
    data: Any = {"manifest": str(manifest), "sequence_length": 8}
    found = validation_batches(open_corpus(Data(**data), 1, tmp_path), 2, 4)
    assert found.sources == []
    assert found.notices == [f"{manifest} has no split 'validation' to validate on; it has: train"]


def test_docs_that_do_not_fit_the_shards(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, numbered_documents([4] * 4), ["a"] * 4)
    docs = tmp_path / "docs.parquet"
    write_shards(tmp_path / "other", {"validation": numbered_documents([4] * 3)})
    docs.write_bytes((tmp_path / "other/docs.parquet").read_bytes())
    with pytest.raises(InputError, match="lists 3 documents of split validation, the shards hold"):
        validation_batches(corpus, 2, 4)
    docs.unlink()
    with pytest.raises(InputError, match=r"there is no .*docs\.parquet"):
        validation_batches(corpus, 2, 4)
