"""Samples of conversations: rows, masks, packing, grouping, and what a resumed run gets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import InputError
from tests.builders.conversations import chat, write_records
from training.chat import open_formatter
from training.data.batch import IGNORED
from training.sft.corpus import SftCorpus
from training.sft.encoded import EncodedConversations, write_encoded
from training.sft.learned import Rules
from training.sft.order import orders_of
from training.sft.phases import Phase, Phases
from training.sft.rows import RowShape
from training.tokenizers import load_tokenizer

EOS = 256
LENGTH = 40


def held(folder: Path, name: str, records: list[dict[str, Any]]) -> EncodedConversations:
    formatter = open_formatter("plain", load_tokenizer("byte"))
    path = write_records(folder / f"{name}.jsonl", records)
    rules = Rules(LENGTH, "trim", "drop", "answers")
    write_encoded([str(path)], "messages", folder / name, formatter, rules, "key")
    return EncodedConversations(folder / name)


def records(count: int, letter: str = "q") -> list[dict[str, Any]]:
    return [chat(f"{letter}{n:03}", "x" * (n * 7 % 23 + 1) + str(n)) for n in range(count)]


def corpus(
    folder: Path, *, packed: bool = False, seed: int = 1, group: int | None = None, **shape: Any
) -> SftCorpus:
    tasks = {name: held(folder, name, records(n, name)) for name, n in (("a", 30), ("b", 10))}
    phases = Phases([Phase(1.0, {"a": 30.0, "b": 10.0})], 400)
    rows = RowShape(LENGTH, **shape)
    orders = orders_of(tasks, "best_fit" if packed else "none", LENGTH, seed)
    return SftCorpus(
        tasks,
        orders,
        phases,
        rows,
        seed=seed,
        packed=packed,
        fill=EOS,
        parts={},
        group_steps_of=group,
    )


def texts(made: Any) -> list[str]:
    return [bytes(t for t in row if t < 256).decode() for row in made.tokens.tolist()]


def test_a_row_is_a_conversation_with_its_answer_as_labels(tmp_path: Path) -> None:
    made = corpus(tmp_path).samples(0, 8)
    for row in range(8):
        tokens, labels = made.tokens[row].tolist(), made.labels[row].tolist()
        end = tokens.index(10)  # the question's line
        places = [t for t, label in enumerate(labels) if label != IGNORED]
        assert places[0] == end
        said = [labels[t] for t in places]
        assert said[-1] == EOS
        assert said[:-1] == tokens[end + 1 : places[-1] + 1]
        assert all(t == EOS for t in tokens[places[-1] + 1 :])
    assert made.documents is None
    longest = int((made.labels != IGNORED).any(axis=0).nonzero()[0].max()) + 1
    assert made.tokens.shape[1] == longest


def test_the_end_of_an_answer_is_learned_though_padding_is_the_same_token(tmp_path: Path) -> None:
    made = corpus(tmp_path).samples(0, 40)
    assert int((made.labels == EOS).sum()) == 40


def test_an_epoch_has_each_conversation_once(tmp_path: Path) -> None:
    data = corpus(tmp_path)
    first, second = texts(data.samples(0, 40)), texts(data.samples(40, 40))
    assert len(set(first)) == 40
    assert set(first) == set(second)
    assert first != second


@pytest.mark.parametrize(("packed", "group"), [(False, None), (False, 4), (True, None)])
def test_a_sample_is_the_same_however_it_is_asked_for(
    tmp_path: Path, packed: bool, group: int | None
) -> None:
    data = corpus(tmp_path, packed=packed, group=group)
    whole = data.samples(0, 24)
    for start in (20, 0, 7, 23):
        one = corpus(tmp_path, packed=packed, group=group).samples(start, 1)
        width = one.tokens.shape[1]
        assert one.tokens[0].tolist() == whole.tokens[start, :width].tolist()
        assert one.labels[0].tolist() == whole.labels[start, :width].tolist()
        assert (whole.labels[start, width:] == IGNORED).all()


def test_packed_rows_hold_whole_conversations_that_do_not_see_each_other(tmp_path: Path) -> None:
    data = corpus(tmp_path, packed=True)
    made = data.samples(0, data.samples_per_epoch)
    assert made.documents is not None
    assert made.tokens.shape[1] == LENGTH
    assert data.samples_per_epoch < 40
    # A conversation's last token is never shown: what is learned is all answers with their ends.
    counts = Counter(made.labels[made.labels != IGNORED].tolist())
    apart = corpus(tmp_path).samples(0, 40)
    assert counts == Counter(apart.labels[apart.labels != IGNORED].tolist())
    for row in range(len(made.tokens)):
        for document in np.unique(made.documents[row]):
            at = np.flatnonzero(made.documents[row] == document)
            assert made.positions[row, at].tolist() == list(range(len(at)))
            learned = np.flatnonzero(made.labels[row, at] != IGNORED)
            if len(learned):
                assert made.labels[row, at[learned[-1]]] == EOS


def test_grouped_steps_have_less_padding_and_the_same_conversations(tmp_path: Path) -> None:
    plain, sorted_ = corpus(tmp_path), corpus(tmp_path, group=4)

    def places(data: SftCorpus) -> int:
        return sum(data.samples(start, 4).tokens.size for start in range(0, 200, 4))

    assert places(sorted_) < 0.85 * places(plain)
    every = [sorted(texts(data.samples(0, 200))) for data in (plain, sorted_)]
    assert every[0] == every[1]
    widths = [sorted_.samples(start, 4).tokens.shape[1] for start in range(0, 200, 4)]
    assert widths[0] == max(widths)
    assert widths != sorted(widths, reverse=True)


@pytest.mark.parametrize("batch_size", [4, 7, 16])
def test_grouping_has_each_conversation_once_an_epoch_and_never_twice_in_a_step(
    tmp_path: Path, batch_size: int
) -> None:
    data = corpus(tmp_path, group=batch_size)
    for epoch in range(3):
        assert len(set(texts(data.samples(40 * epoch, 40)))) == 40
    steps = 120 // batch_size
    whole = [s for s in range(steps) if s * batch_size % 40 + batch_size <= 40]
    for step in whole:
        assert len(set(texts(data.samples(step * batch_size, batch_size)))) == batch_size


def test_steps_that_two_epochs_share_are_not_always_of_the_shortest(tmp_path: Path) -> None:
    data = corpus(tmp_path, group=7)
    shared = [texts(data.samples(start, 7)) for start in (35, 77, 119, 161)]
    seen = [text for step in shared for text in step]
    assert len(set(seen)) > 18
    widths = [data.samples(start, 7).tokens.shape[1] for start in range(0, 40, 7)]
    assert widths[0] == max(widths)


def test_groups_stay_in_their_phase(tmp_path: Path) -> None:
    tasks = {name: held(tmp_path, name, records(30, name)) for name in "ab"}
    phases = Phases([Phase(1.0, {"a": 1.0}), Phase(1.0, {"b": 1.0})], 60)
    data = SftCorpus(
        tasks,
        orders_of(tasks, "none", LENGTH, 1),
        phases,
        RowShape(LENGTH),
        seed=1,
        packed=False,
        fill=EOS,
        parts={},
        group_steps_of=4,
    )
    assert [text[0] for text in texts(data.samples(0, 60))] == ["a"] * 30 + ["b"] * 30


@pytest.mark.parametrize(
    ("shape", "longest", "width"),
    [
        ({}, 13, 13),
        ({}, 33, 40),
        ({"divisor": 4}, 13, 16),
        ({"divisor": 6}, 33, 48),
        ({"full": True}, 5, 64),
        ({}, 63, 64),
        ({"multiple": 64}, 40, 64),
        ({"multiple": 64, "short_places": 0}, 5, 64),
    ],
)
def test_width_of_rows(shape: dict[str, Any], longest: int, width: int) -> None:
    assert RowShape(64, **shape).width(longest) == width


def test_other_data_is_noticed(tmp_path: Path) -> None:
    data = corpus(tmp_path)
    data.check_state(data.state(12))
    with pytest.raises(InputError, match="seed was 1, is 2"):
        corpus(tmp_path, seed=2).check_state(data.state(12))


def test_a_vocabulary_that_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="token 256 does not fit the model's vocab_size of 256"):
        corpus(tmp_path).check_vocabulary(256)
