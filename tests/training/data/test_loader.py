"""Batches of ranks, made ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from tests.builders.token_shards import numbered_documents, write_shards
from training.config import Data
from training.data.batch import Batch, joined
from training.data.corpus import Corpus, open_corpus
from training.data.loader import Loader


@pytest.fixture(scope="module", params=["concatenate", "best_fit"])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("loader")
    manifest = write_shards(folder, {"train": numbered_documents([7, 9, 3, 30, 12] * 6)})
    data = Data(manifest=str(manifest), sequence_length=8, packing=request.param)
    return open_corpus(data, 1, folder)


class Numbers:
    """Samples that hold their own number; may fail or wait."""

    def __init__(self, before: Callable[[int], object] = lambda start: None) -> None:
        self.asked: list[int] = []
        self._before = before

    def samples(self, start: int, count: int) -> Batch:
        self.asked.append(start)
        self._before(start)
        numbers = np.arange(start, start + count)[:, None]
        return Batch(numbers, numbers, numbers.astype(np.int32), None)


def same(one: Batch, other: Batch) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_any_number_of_ranks_takes_the_same_batches(
    corpus: Corpus, ranks: int, accumulation: int
) -> None:
    steps = 2 * corpus.samples_per_epoch // 8 + 1
    loaders = [Loader(corpus, 0, 8, steps, rank, ranks, accumulation) for rank in range(ranks)]
    for step in range(steps):
        parts = [next(loader) for loader in loaders]
        assert all(len(part) == accumulation for part in parts)
        assert same(joined([b for part in parts for b in part]), corpus.samples(8 * step, 8))
    assert all(next(loader, None) is None for loader in loaders)


@given(st.integers(0, 20), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]))
@settings(max_examples=15, deadline=None)
def test_a_killed_run_goes_on_with_the_same_batches(done: int, before: int, after: int) -> None:
    """The state is a number of samples: ranks may change, and so may the batch size."""

    def taken(start: int, steps: int, ranks: int, batch_size: int = 8) -> list[int]:
        loaders = [
            Loader(Numbers(), start, batch_size, steps, rank, ranks, prefetch=2)
            for rank in range(ranks)
        ]
        rows = []
        for _ in range(steps):
            rows += [int(n) for loader in loaders for b in next(loader) for n in b.tokens[:, 0]]
        for loader in loaders:
            loader.close()
        return rows

    whole = taken(0, 24, before)
    assert taken(0, done, before) + taken(8 * done, 24 - done, after) == whole == list(range(192))
    assert taken(8 * done, 2 * (24 - done), after, batch_size=4) == whole[8 * done :]


def test_only_what_fits_is_made_ahead() -> None:
    numbers = Numbers()
    with Loader(numbers, 0, 2, 100, prefetch=3) as loader:
        assert next(loader)[0].tokens.ravel().tolist() == [0, 1]
        deadline = time.monotonic() + 5
        while len(numbers.asked) < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        # One was taken, three are ready, one is in the thread's hand.
        assert numbers.asked == [0, 2, 4, 6, 8]


def test_nothing_is_made_ahead_without_prefetch() -> None:
    numbers = Numbers()
    threads = threading.active_count()
    with Loader(numbers, 4, 2, 2, prefetch=0) as loader:
        assert threading.active_count() == threads
        assert numbers.asked == []
        assert [b.tokens[0, 0] for (b,) in loader] == [4, 6]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_errors_come_out_where_batches_do(prefetch: int) -> None:
    def fail(start: int) -> None:
        if start == 4:
            raise OSError("the disk is gone")

    with Loader(Numbers(fail), 0, 2, 10, prefetch=prefetch) as loader:
        assert [next(loader)[0].tokens[0, 0] for _ in range(2)] == [0, 2]
        with pytest.raises(OSError, match="the disk is gone"):
            next(loader)


def test_close_ends_the_thread() -> None:
    loader = Loader(Numbers(), 0, 2, 1000, prefetch=2)
    next(loader)
    assert any(thread.name == "batches_0" for thread in threading.enumerate())
    loader.close()
    loader.close()
    assert not any(thread.name == "batches_0" for thread in threading.enumerate())
    assert next(loader, None) is None


def test_waiting_is_counted() -> None:
    let = threading.Event()
    with Loader(Numbers(lambda start: let.wait(10)), 0, 2, 3) as loader:
        threading.Timer(0.2, let.set).start()
        next(loader)
        assert loader.stall_seconds > 0.1
        waited = loader.stall_seconds
        time.sleep(0.05)
        assert loader.stall_seconds == waited, "the time of the step is not the loader's"


@pytest.mark.parametrize(
    ("batch_size", "ranks", "accumulation", "fitting"),
    [(10, 4, 1, "8 or 12"), (12, 4, 2, "8 or 16"), (3, 4, 1, "4")],
)
def test_sizes_that_do_not_divide(
    batch_size: int, ranks: int, accumulation: int, fitting: str
) -> None:
    said = f"{batch_size} does not divide into {ranks} .* x .* {accumulation}; {fitting} would"
    with pytest.raises(UsageError, match=said):
        Loader(Numbers(), 0, batch_size, 1, 0, ranks, accumulation)
